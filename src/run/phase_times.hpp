// PhaseTimes: what the time before the first step goes to. Every moment belongs to one phase: one that is entered
// inside of another interrupts it.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

struct PhaseTime {
  std::string name;
  double seconds = 0;
};

/// Of one thread.
class PhaseTimes {
 public:
  /// Leaves the phase when it goes.
  class Scope {
   public:
    /// Where `times` is nullptr nobody notes times.
    Scope(PhaseTimes* times, std::string_view name)
        : times_(times), outer_(times == nullptr ? 0 : times->change(name)) {}
    ~Scope() {
      if (times_ != nullptr) times_->go_on_with(outer_);
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseTimes* times_;
    std::size_t outer_;
  };

  /// What came before counts as `start`: `started_seconds` of it.
  explicit PhaseTimes(double started_seconds = 0);

  /// The same name may be entered again.
  [[nodiscard]] Scope enter(std::string_view name) { return {this, name}; }
  /// In the order in which they were first entered, `start` first and what belongs to none, `other`, last; none of
  /// less than a tenth of a millisecond.
  std::vector<PhaseTime> times();
  /// "1.23 s: start 0.06, model file 0.11, ..."
  std::string text();

 private:
  using Clock = std::chrono::steady_clock;

  /// Returns the phase that was current.
  std::size_t change(std::string_view name);
  std::size_t go_on_with(std::size_t phase);

  std::vector<PhaseTime> phases_;  ///< the first is `other`
  std::size_t current_ = 0;
  Clock::time_point since_;
};

/// Since this process was started, before it became `weft`; 0 where the system does not tell.
double seconds_since_process_start();

}  // namespace weft
