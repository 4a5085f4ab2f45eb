// StopWish: whether this rank wishes to stop now: because a signal came, or because the job's time is nearly over.
#pragma once

#include <chrono>

#include "src/faults/stop_signals.hpp"
#include "weft/job.hpp"

namespace weft {

class StopWish {
 public:
  using Clock = std::chrono::steady_clock;
  /// `signals` may be null; it outlives this.
  StopWish(const StopSignals* signals, const JobSpec& job, Clock::time_point began);
  /// `seconds_to_leave`: what is left to do before the process could be gone, if it were to stop at the next
  /// opportunity.
  StopKind now(double seconds_to_leave) const;

 private:
  const StopSignals* signals_;
  double limit_ = 0;  ///< seconds from `began_`; 0: none
  Clock::time_point began_;
};

}  // namespace weft
