// The shortest valid job, for tests that add one thing to it.
#pragma once

#include <string>
#include <vector>

#include "src/job/job_file.hpp"
#include "weft/error.hpp"

namespace weft::testing {

/// Three lines; a test's own line is the fourth.
inline const std::string kMinimalJob = "name: fashion\nmodel: lenet.onnx\ndata: {train: train.h5}\n";

inline JobSpec parse(const std::string& more, const std::vector<std::string>& overrides = {}) {
  return parse_job(kMinimalJob + more, "job.yaml", "/jobs", overrides);
}

/// The message of the UserError that parsing throws; "" when it throws none.
inline std::string error_of(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse_job(text, "job.yaml", "/jobs", overrides);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

inline std::string error_of_line(const std::string& more, const std::vector<std::string>& overrides = {}) {
  return error_of(kMinimalJob + more, overrides);
}

}  // namespace weft::testing
