// Words for predicted against measured.
#include "scheduler/step_report.hpp"

#include "fmt/format.h"

namespace weft {
namespace {

std::string milliseconds(double seconds) {
  const double ms = seconds * 1e3;
  return fmt::format("{:.{}f}", ms, ms < 1 ? 3 : ms < 10 ? 2 : ms < 1000 ? 1 : 0);
}

}  // namespace

std::string duration_text(double seconds) {
  if (seconds < 1) return milliseconds(seconds) + " ms";
  if (seconds < 120) return fmt::format("{:.1f} s", seconds);
  if (seconds < 7200) return fmt::format("{:.0f} min", seconds / 60);
  return fmt::format("{:.1f} h", seconds / 3600);
}

std::string step_time_line(const Prediction& predicted, double measured_seconds) {
  auto line = fmt::format("step time: predicted {} ms ({} to {}{})", milliseconds(predicted.seconds),
                          milliseconds(predicted.low), milliseconds(predicted.high),
                          !predicted.calibrated      ? ", uncalibrated"
                          : predicted.scaled.empty() ? ""
                                                     : ", " + predicted.scaled);
  if (measured_seconds > 0) {
    line += fmt::format(", measured {} ms", milliseconds(measured_seconds));
    if (predicted.seconds > 0) line += fmt::format(" ({:+.1f} %)", 100 * (measured_seconds / predicted.seconds - 1));
  }
  if (!predicted.calibrated) line += "; `weft calibrate` measures this machine";
  return line;
}

}  // namespace weft
