// Clocks of phases, and the process's own from /proc.
#include "src/run/phase_times.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <sstream>
#include <utility>

namespace weft {

PhaseTimes::PhaseTimes(double started_seconds)
    : phases_{{"other", 0}, {"start", started_seconds}}, since_(Clock::now()) {}

std::size_t PhaseTimes::change(std::string_view name) {
  const auto found = std::find_if(phases_.begin(), phases_.end(), [&](const PhaseTime& p) { return p.name == name; });
  const auto index = static_cast<std::size_t>(found - phases_.begin());
  if (found == phases_.end()) phases_.push_back({std::string(name), 0});
  return go_on_with(index);
}

std::size_t PhaseTimes::go_on_with(std::size_t phase) {
  const Clock::time_point now = Clock::now();
  phases_[current_].seconds += std::chrono::duration<double>(now - since_).count();
  since_ = now;
  return std::exchange(current_, phase);
}

std::vector<PhaseTime> PhaseTimes::times() {
  go_on_with(current_);
  std::vector<PhaseTime> times(phases_.begin() + 1, phases_.end());
  times.push_back(phases_.front());
  std::erase_if(times, [](const PhaseTime& p) { return p.seconds < 1e-4; });
  return times;
}

std::string PhaseTimes::text() {
  double together = 0;
  std::string parts;
  for (const PhaseTime& p : times()) {
    together += p.seconds;
    parts += fmt::format("{}{} {:.2f}", parts.empty() ? "" : ", ", p.name, p.seconds);
  }
  return fmt::format("{:.2f} s: {}", together, parts);
}

double seconds_since_process_start() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  // The second field, a file name in parentheses, may hold anything; the start is the 22nd, in ticks since boot.
  const auto name_end = text.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string passed_over;
  for (int i = 3; i < 22; ++i) fields >> passed_over;
  double ticks = 0;
  fields >> ticks;
  timespec now{};
  if (!fields || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  const double started = ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return std::max(0.0, static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) - started);
}

}  // namespace weft
