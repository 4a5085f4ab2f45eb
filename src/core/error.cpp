// Messages of the three kinds of failure.
#include "weft/error.hpp"

#include <cstring>

namespace weft {

void Error::add_context(std::string_view where) { full_ = std::string(where) + ":\n  " + full_; }

SystemError SystemError::from_errno(std::string what, int errno_value) {
  return SystemError(std::move(what) + ": " + std::strerror(errno_value));
}

InternalError::InternalError(std::string message)
    : Error(ExitCode::internal,
            std::move(message) +
                "\n  This is a fault of Weft's. Please report it with this message, the job file and "
                "the output of `weft --version`.") {}

void check_internal(bool condition, std::string_view message) {
  if (!condition) throw InternalError(std::string(message));
}

}  // namespace weft
