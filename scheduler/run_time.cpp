// Adding up a run.
#include "scheduler/run_time.hpp"

#include <algorithm>
#include <cmath>

namespace weft {
namespace {

constexpr double kAssumedStorage = 200e6;  // bytes/s, reading and writing: a network file system's, or a disk's
constexpr double kMeasuredFactor = 1.5;    // storage is shared: how far off a measured rate may be, either way
constexpr double kAssumedFactor = 5;

std::int64_t checkpoints_of(const RunWork& work, double step_seconds) {
  const auto steps = static_cast<double>(work.steps);
  double every = steps;  // the end of a run writes one in any case
  switch (work.checkpoint.unit) {
    case CheckpointSpec::Unit::never: break;
    case CheckpointSpec::Unit::steps: every = work.checkpoint.every; break;
    case CheckpointSpec::Unit::epochs: every = work.checkpoint.every * static_cast<double>(work.steps_per_epoch); break;
    case CheckpointSpec::Unit::minutes:
      if (step_seconds > 0) every = 60 * work.checkpoint.every / step_seconds;
      break;
  }
  every = std::clamp(every, 1.0, std::max(steps, 1.0));
  return static_cast<std::int64_t>(std::ceil(steps / every - 1e-9));
}

struct Rates {
  double read = 0, write = 0;  ///< bytes/s
};

RunTime with_rates(double step_seconds, const RunWork& work, const Rates& rates) {
  RunTime t;
  const double epoch = step_seconds * static_cast<double>(work.steps_per_epoch);
  const double epochs = static_cast<double>(work.steps) / static_cast<double>(work.steps_per_epoch);
  const double readings = work.keeps_data ? std::min(1.0, epochs) : epochs;
  t.input_seconds = readings * std::max(0.0, work.data_bytes / rates.read - epoch);
  t.checkpoints = checkpoints_of(work, step_seconds);
  t.checkpoint_seconds = static_cast<double>(t.checkpoints) * work.checkpoint_bytes / rates.write;
  t.seconds = step_seconds * static_cast<double>(work.steps) + t.input_seconds + t.checkpoint_seconds;
  t.epoch_seconds = epochs > 0 ? t.seconds / epochs : 0;
  return t;
}

}  // namespace

RunTime time_to_train(const Prediction& step, const RunWork& work, const CalibrationSet& costs) {
  const bool measured = costs.read_bandwidth > 0 && costs.write_bandwidth > 0;
  const Rates rates{costs.read_bandwidth > 0 ? costs.read_bandwidth : kAssumedStorage,
                    costs.write_bandwidth > 0 ? costs.write_bandwidth : kAssumedStorage};
  const double factor = measured ? kMeasuredFactor : kAssumedFactor;
  RunTime t = with_rates(step.seconds, work, rates);
  t.low = with_rates(step.low, work, {rates.read * factor, rates.write * factor}).seconds;
  t.high = with_rates(step.high, work, {rates.read / factor, rates.write / factor}).seconds;
  t.storage_measured = measured;
  return t;
}

}  // namespace weft
