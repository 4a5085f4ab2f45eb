// CrashNotes: on SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT, marks the rank record with the signal and then lets the
// signal do what it would have done (MPI's backtrace, a core file, the end).
#pragma once

#include <signal.h>

#include <cstddef>
#include <memory>

#include "src/faults/last_operation.hpp"

namespace weft {

class CrashNotes {
 public:
  /// Until destroyed; `record` must live longer. Make it after MPI has started, which installs handlers of its own and
  /// complains when others are there. One at a time in a process.
  explicit CrashNotes(LastOperationFile& record);
  ~CrashNotes();
  CrashNotes(const CrashNotes&) = delete;
  CrashNotes& operator=(const CrashNotes&) = delete;

 private:
  std::unique_ptr<std::byte[]> stack_;  ///< handlers run here: an overflown stack has no room for them
  stack_t previous_stack_{};
};

}  // namespace weft
