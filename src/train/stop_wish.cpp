// Signals, and the clock.
#include "src/train/stop_wish.hpp"

#include "src/settings/text_checks.hpp"

namespace weft {

StopWish::StopWish(const StopSignals* signals, const JobSpec& job, Clock::time_point began)
    : signals_(signals), began_(began) {
  if (const auto seconds = seconds_of_time_limit(job.time_limit)) limit_ = static_cast<double>(*seconds);
}

StopKind StopWish::now(double seconds_to_leave) const {
  if (signals_ != nullptr && signals_->requested()) return signals_->kind();
  const double gone = std::chrono::duration<double>(Clock::now() - began_).count();
  return limit_ > 0 && gone + seconds_to_leave > limit_ ? StopKind::time : StopKind::none;
}

}  // namespace weft
