// Progress of a long run for whoever watches: a bar on a terminal, a plain line now and then elsewhere.
//
//   [########............]  120/300  epoch 2/5  loss 0.4312  accuracy 0.88  12.3k samples/s  0:42 left
//
// Only rank 0 makes one. It holds no thread: it shows something when it is told something.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

namespace weft {

struct ProgressStyle {
  bool bar = false;  ///< redraws one line with carriage returns
  int width = 100;   ///< columns of the terminal
  /// Shortest time between two drawings.
  std::chrono::milliseconds interval{15000};

  /// A bar when standard error is a terminal that can redraw (TERM is set and not "dumb"), plain lines otherwise.
  static ProgressStyle of_standard_error();
};

struct ProgressState {
  std::int64_t step = 0, total_steps = 0;
  double epoch = 0, total_epochs = 0;  ///< 0: not counted in epochs
  std::optional<double> loss;
  std::optional<double> samples_per_s;
  std::vector<std::pair<std::string, double>> metrics;
};

class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  /// `first_step` steps are done already: time left counts only what this job does.
  Progress(std::ostream& out, ProgressStyle style, std::int64_t first_step);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// The first and the last step are always shown, others when the interval has passed.
  void update(const ProgressState& state, Clock::time_point now = Clock::now());
  /// A line of its own, above the bar.
  void note(const std::string& text);
  /// Ends the bar's line.
  void finish();

  /// The line that shows `state`; what does not fit the width is dropped from the right, `left` first kept.
  std::string line(const ProgressState& state) const;

 private:
  void measure(std::int64_t step, Clock::time_point now);
  void draw(const std::string& text);

  std::ostream& out_;
  ProgressStyle style_;
  std::optional<Clock::time_point> drawn_, measured_;
  std::int64_t measured_step_;
  std::optional<double> step_seconds_;  ///< smoothed
  std::string shown_;                   ///< what the bar's line holds now
};

}  // namespace weft
