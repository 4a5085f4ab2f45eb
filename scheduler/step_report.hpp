// Predicted against measured step time, as `weft train` says it at its end.
#pragma once

#include <string>

#include "scheduler/simulate.hpp"

namespace weft {

/// "step time: predicted 12.3 ms (11.0 to 14.1), measured 12.9 ms (+4.9 %)", and that the prediction is uncalibrated,
/// where it is. `measured` is the median over the steps of the run, input and logging included; 0 when none was done.
std::string step_time_line(const Prediction& predicted, double measured_seconds);

/// A duration as people read it: "0.512 ms", "12.3 ms", "4.2 s", "3 min", "5.1 h".
std::string duration_text(double seconds);

}  // namespace weft
