// The three kinds of failure, and the exit code of each.
//
// Everything that Weft throws on purpose is one of these; `main` turns any of them into a message and an exit code,
// and nothing else escapes it. A catch site that knows more (which file, which node, which rank) adds a line of
// context and rethrows:
//
//     try { parse(text); } catch (Error& e) { e.add_context("in job.yaml"); throw; }
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace weft {

/// Exit codes of the `weft` binary (a contract with job scripts).
enum class ExitCode : int {
  ok = 0,
  user = 2,           ///< the user's input is wrong
  system = 3,         ///< file, network, device or peer failed
  internal = 4,       ///< a fault of Weft's own
  stopped_early = 75  ///< stopped on purpose with a good checkpoint: submit again
};

/// Base of all failures. `what()` is the full message, outermost context first, one line each.
class Error : public std::exception {
 public:
  const char* what() const noexcept override { return full_.c_str(); }
  ExitCode exit_code() const noexcept { return exit_code_; }
  /// Puts a line in front of the message: where it happened, in the caller's terms.
  void add_context(std::string_view where);

 protected:
  Error(ExitCode code, std::string message) : exit_code_(code), full_(std::move(message)) {}

 private:
  ExitCode exit_code_;
  std::string full_;
};

/// The input is wrong. The message says what, where in the file, what is allowed, and what to do.
class UserError : public Error {
 public:
  explicit UserError(std::string message) : Error(ExitCode::user, std::move(message)) {}
};

/// The world failed: a file (with errno), a peer rank (with rank and collective), a device.
class SystemError : public Error {
 public:
  explicit SystemError(std::string message) : Error(ExitCode::system, std::move(message)) {}
  /// `what: strerror(errno_value)`.
  static SystemError from_errno(std::string what, int errno_value);
};

/// Our own fault. The message ends with how to report it.
class InternalError : public Error {
 public:
  explicit InternalError(std::string message);
};

/// Throws InternalError with `message` unless `condition` holds: for invariants that no input can break.
void check_internal(bool condition, std::string_view message);

}  // namespace weft
