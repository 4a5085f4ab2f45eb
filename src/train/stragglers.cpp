// One small all-gather every few steps, read when the next step is over.
#include "src/train/stragglers.hpp"

#include <algorithm>

namespace weft {

std::optional<Straggler> StragglerJudge::judge(std::span<const double> seconds) {
  slow_.resize(seconds.size());
  std::vector<double> sorted(seconds.begin(), seconds.end());
  std::sort(sorted.begin(), sorted.end());
  const double median = sorted[(sorted.size() - 1) / 2];  // of two ranks the faster
  std::optional<Straggler> found;
  for (std::size_t r = 0; r < seconds.size(); ++r) {
    const bool slow = seconds[r] > kSlower * median && seconds[r] > median + kSeconds;
    slow_[r] = slow ? slow_[r] + 1 : 0;
    if (slow_[r] == kSamples && (!found || seconds[r] > found->seconds))
      found = Straggler{static_cast<int>(r), seconds[r], median};
  }
  return found;
}

std::optional<Straggler> StragglerWatch::step(double busy_seconds) {
  if (world_.size() == 1) return std::nullopt;
  std::optional<Straggler> found;
  if (request_) {
    request_->wait();
    request_.reset();
    found = judge_.judge(all_);
  }
  mine_ += busy_seconds;
  if (++steps_ < kStepsOfASample) return found;
  sent_ = mine_ / steps_;
  mine_ = 0;
  steps_ = 0;
  all_.resize(static_cast<std::size_t>(world_.size()));
  request_ =
      world_.start_all_gather(reinterpret_cast<const std::byte*>(&sent_), reinterpret_cast<std::byte*>(all_.data()), 1,
                              DType::f64, {"comparing the ranks' pace", 0, -1});
  return found;
}

}  // namespace weft
