// log.jsonl: one JSON object a logged step, in step order, each step once however often a run was resumed.
//
//   {"step":20,"epoch":1.5,"loss":0.43,"lr":0.05,"samples_per_s":9120.0,"step_ms":14.0,"accuracy":0.88}
//   {"step":40,"epoch":2.0,"eval":true,"loss":0.39,"accuracy":0.90}
//
// JSON has no NaN or infinity: such a number is written as null, and "nonfinite" names it:
//   {"step":21,…,"loss":null,…,"nonfinite":{"loss":"nan"}}      ("nan", "inf" or "-inf")
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "src/files/file_system.hpp"

namespace weft {

/// What is known of a step. Absent fields are not written.
struct LogRecord {
  std::int64_t step = 0;
  double epoch = 0;
  bool eval = false;
  bool skipped = false;  ///< the step changed no parameter (loss scaling)
  std::optional<double> loss, lr, samples_per_s, step_ms;
  /// Of several ranks, a step of rank 0's: collectives in flight, and waited for.
  std::optional<double> comm_ms, exposed_comm_ms;
  std::vector<std::pair<std::string, double>> metrics;
};

/// One line, without the newline.
std::string to_json(const LogRecord& record);

class LogWriter {
 public:
  /// Goes on with a log after step `resumed_step` (0: from the start): what a former job wrote of later steps is cut,
  /// and so is a line that a kill left unfinished. Throws SystemError.
  LogWriter(FileSystem& files, const std::filesystem::path& path, std::int64_t resumed_step);
  /// Handed to the system at once: a kill loses no line.
  void write(const LogRecord& record);
  /// The step of the last evaluation line, of a former job's too; 0: none.
  std::int64_t last_evaluated() const { return last_evaluated_; }

 private:
  std::unique_ptr<File> file_;
  std::int64_t end_ = 0, last_evaluated_ = 0;
};

}  // namespace weft
