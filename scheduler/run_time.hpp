// Run time: what a whole run takes, from the time of a step, reading and checkpoints.
//
// Data is read ahead beside the steps, so it costs only what the steps of an epoch do not hide. A checkpoint is written
// between steps. Both are priced by storage's measured rates, or else by assumed ones, marked. Evaluation, start-up and
// queueing come on top.
#pragma once

#include <cstdint>

#include "scheduler/simulate.hpp"
#include "weft/job.hpp"
#include "weft/site.hpp"

namespace weft {

/// What a run does.
struct RunWork {
  std::int64_t steps = 0, steps_per_epoch = 1;
  double data_bytes = 0;        ///< of the training data
  bool keeps_data = true;       ///< memory holds the data once read; false: it is read in every epoch
  double checkpoint_bytes = 0;  ///< of one
  CheckpointSpec checkpoint;
};

struct RunTime {
  double seconds = 0, low = 0, high = 0;
  double epoch_seconds = 0;       ///< the mean over the run
  std::int64_t checkpoints = 0;   ///< written
  double checkpoint_seconds = 0;  ///< of `seconds`: writing them
  double input_seconds = 0;       ///< of `seconds`: waiting for data
  bool storage_measured = false;  ///< false: rates of storage are assumed
};

RunTime time_to_train(const Prediction& step, const RunWork& work, const CalibrationSet& costs);

}  // namespace weft
