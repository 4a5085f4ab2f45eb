// StopSignals: turns signals into wishes that the training loop looks at between steps.
//
// SIGUSR1 and SIGINT ask for a graceful stop, SIGTERM for the end. So does SIGUSR2: mpirun of Open MPI 4.1 keeps
// SIGUSR1 to itself and passes SIGUSR2 on. A second SIGINT ends the process at once. Handlers only set flags, and mark
// the rank record on SIGTERM, so that a report can tell who was told to go from who vanished.
#pragma once

#include <signal.h>

#include <chrono>
#include <optional>

#include "src/faults/last_operation.hpp"
#include "src/faults/stop_agreement.hpp"

namespace weft {

class StopSignals {
 public:
  /// Takes these signals over until destroyed. `record` as in mark_in. One at a time in a process: a second is an
  /// InternalError.
  explicit StopSignals(LastOperationFile* record = nullptr);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// The record that SIGTERM marks from now on, at once where it came already; it must live until another, or null, is
  /// given.
  void mark_in(LastOperationFile* record);
  bool requested() const { return kind() != StopKind::none; }
  /// none, graceful or terminate; the stronger when both came.
  StopKind kind() const;
  /// Time since the first SIGTERM: launchers follow with SIGKILL within seconds.
  std::optional<std::chrono::nanoseconds> since_terminate() const;
  /// Blocks until the first SIGTERM has come, or until wake() is called. For one waiting thread.
  void wait_for_terminate();
  void wake();

 private:
  struct sigaction previous_[4];
};

}  // namespace weft
