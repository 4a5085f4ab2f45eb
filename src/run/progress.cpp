// Drawing progress, and the smoothed estimate of the time left.
#include "src/run/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>

#include "src/run/text.hpp"

namespace weft {
namespace {

constexpr int kBarWidth = 20;
// Measurements of the last 30 seconds or so decide the estimate.
constexpr double kSmoothingSeconds = 30;

std::string bar(double fraction) {
  const int full = static_cast<int>(std::lround(std::clamp(fraction, 0.0, 1.0) * kBarWidth));
  return "[" + std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(kBarWidth - full), '.') + "]";
}

}  // namespace

ProgressStyle ProgressStyle::of_standard_error() {
  ProgressStyle style;
  const char* term = std::getenv("TERM");
  style.bar = ::isatty(STDERR_FILENO) == 1 && term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
  if (!style.bar) return style;
  style.interval = std::chrono::milliseconds(100);
  winsize window{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0) style.width = window.ws_col;
  return style;
}

Progress::Progress(std::ostream& out, ProgressStyle style, std::int64_t first_step)
    : out_(out), style_(style), measured_step_(first_step) {}

Progress::~Progress() {
  try {
    finish();
  } catch (const std::exception&) {
    // A stream that cannot be written to loses a line, no more.
  }
}

void Progress::measure(std::int64_t step, Clock::time_point now) {
  if (measured_ && step > measured_step_) {
    const double elapsed = std::chrono::duration<double>(now - *measured_).count();
    const double each = elapsed / static_cast<double>(step - measured_step_);
    const double weight = step_seconds_ ? 1 - std::exp(-elapsed / kSmoothingSeconds) : 1;
    step_seconds_ = weight * each + (1 - weight) * step_seconds_.value_or(0);
  }
  if (!measured_ || step > measured_step_) {
    measured_ = now;
    measured_step_ = step;
  }
}

void Progress::update(const ProgressState& state, Clock::time_point now) {
  measure(state.step, now);
  const bool last = state.total_steps > 0 && state.step >= state.total_steps;
  if (drawn_ && !last && now - *drawn_ < style_.interval) return;
  drawn_ = now;
  draw(line(state));
}

std::string Progress::line(const ProgressState& state) const {
  std::vector<std::string> parts;
  const bool total_known = state.total_steps > 0;
  if (style_.bar && total_known)
    parts.push_back(bar(static_cast<double>(state.step) / static_cast<double>(state.total_steps)));
  parts.push_back(total_known ? fmt::format("step {}/{}", state.step, state.total_steps)
                              : fmt::format("step {}", state.step));
  const std::size_t must = parts.size();
  if (state.total_epochs > 0) parts.push_back(fmt::format("epoch {:.2f}/{:g}", state.epoch, state.total_epochs));
  if (state.loss) parts.push_back("loss " + format_number(*state.loss));
  for (const auto& [name, value] : state.metrics) parts.push_back(name + " " + format_number(value));
  if (state.samples_per_s) parts.push_back(format_count(*state.samples_per_s) + " samples/s");
  std::string left;
  if (total_known && step_seconds_ && state.step < state.total_steps)
    left = format_duration(*step_seconds_ * static_cast<double>(state.total_steps - state.step)) + " left";

  // A bar must not wrap: the rightmost parts go first, the time left stays.
  const auto joined = [&] {
    std::string text = fmt::format("{}", fmt::join(parts, "  "));
    return left.empty() ? text : text + "  " + left;
  };
  const auto columns = static_cast<std::size_t>(std::max(style_.width - 1, 1));
  while (style_.bar && joined().size() > columns && parts.size() > must) parts.pop_back();
  return style_.bar ? joined().substr(0, columns) : joined();
}

void Progress::draw(const std::string& text) {
  if (!style_.bar) {
    out_ << text << '\n' << std::flush;
    return;
  }
  const std::size_t rest = shown_.size() > text.size() ? shown_.size() - text.size() : 0;
  out_ << '\r' << text << std::string(rest, ' ') << std::flush;
  shown_ = text;
}

void Progress::note(const std::string& text) {
  if (shown_.empty()) {
    out_ << text << '\n' << std::flush;
    return;
  }
  const std::size_t rest = shown_.size() > text.size() ? shown_.size() - text.size() : 0;
  out_ << '\r' << text << std::string(rest, ' ') << '\n' << shown_ << std::flush;
}

void Progress::finish() {
  if (!shown_.empty()) out_ << '\n' << std::flush;
  shown_.clear();
}

}  // namespace weft
