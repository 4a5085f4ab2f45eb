// Running another program: no shell, bounded in time and output.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace weft {

struct CommandResult {
  int code = 0;        ///< exit status, or 128 + signal
  std::string output;  ///< of both streams, the first 64 KiB
};

/// Looks arguments[0] up in PATH; standard input is empty. Throws SystemError when it cannot be started or is not done
/// within `limit`; it is killed then, with what it started.
CommandResult run_command(const std::vector<std::string>& arguments, std::chrono::milliseconds limit);

}  // namespace weft
