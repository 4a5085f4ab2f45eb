// StopSignals: turns signals into wishes that the training loop looks at between steps.
//
// SIGUSR1 and SIGINT ask for a graceful stop, SIGTERM for the end. A second SIGINT ends the process at once. Handlers
// only set flags, and mark the rank record on SIGTERM, so that a report can tell who was told to go from who vanished.
#pragma once

#include <signal.h>

#include <chrono>
#include <optional>

#include "src/faults/last_operation.hpp"
#include "src/faults/stop_agreement.hpp"

namespace weft {

class StopSignals {
 public:
  /// Takes the three signals over until destroyed. `record` may be null; else it must live longer. One at a time in a
  /// process: a second is an InternalError.
  explicit StopSignals(LastOperationFile* record);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool requested() const { return kind() != StopKind::none; }
  /// none, graceful or terminate; the stronger when both came.
  StopKind kind() const;
  /// Time since the first SIGTERM: launchers follow with SIGKILL within seconds.
  std::optional<std::chrono::nanoseconds> since_terminate() const;

 private:
  struct sigaction previous_[3];
};

}  // namespace weft
