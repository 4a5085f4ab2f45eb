// Learning-rate schedules with linear warm-up, as a scalar of the graph.
#pragma once

#include <cstdint>

#include "graph/ir/builder.hpp"
#include "weft/job.hpp"

namespace weft {

/// How long a run is: what schedules are fractions of.
struct RunLength {
  std::int64_t total_steps = 1;      ///< optimiser steps of the whole run
  std::int64_t steps_per_epoch = 1;  ///< optimiser steps of one epoch
};

/// Optimiser steps of warm-up: a fraction of the run below 1, else a number of steps.
std::int64_t warmup_steps(const ScheduleSpec& schedule, const RunLength& run);

/// The learning rate of step s = `step` + 1, where `step` (i64 scalar) counts the steps done; a f64 scalar.
///
/// During warm-up (s <= w): lr * s / w. After it, with k = s - 1 - w, T = total - w and f = final_factor:
///   constant     lr
///   linear       lr * (1 + (f - 1) * k / T)
///   cosine       lr * (f + (1 - f) * (1 + cos(pi * k / T)) / 2)
///   step         lr * gamma ^ floor(k / step_size)
///   exponential  lr * gamma ^ (k / step_size), step_size by default one epoch
///   polynomial   lr * (f + (1 - f) * (1 - k / T) ^ power)
/// with k / T held at 1 beyond the end. These are PyTorch's LinearLR, CosineAnnealingLR, StepLR, ExponentialLR and
/// PolynomialLR after a SequentialLR warm-up. Throws UserError on unknown names and values out of range.
ValueId learning_rate(GraphBuilder& builder, double lr, const ScheduleSpec& schedule, const RunLength& run,
                      ValueId step);

}  // namespace weft
