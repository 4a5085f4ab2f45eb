// Runs the built `weft`, or another program, as users do, and says what it printed and returned.
#pragma once

#include <string>
#include <vector>

namespace weft::testing {

struct Outcome {
  int code = -1;  ///< exit code, or 128 + signal
  std::string out, err;
};

/// No shell is involved. `environment` entries ("NAME=value") are added to this process's own; `folder` is the current
/// folder of the run, "" for this process's.
Outcome run_program(const std::vector<std::string>& command, const std::vector<std::string>& environment = {},
                    const std::string& folder = "");

/// The same for the built `weft`.
Outcome run_weft(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {},
                 const std::string& folder = "");

}  // namespace weft::testing
