// Whole runs added up on paper: steps, reading that they hide or do not, and checkpoints.
#include "scheduler/run_time.hpp"

#include <gtest/gtest.h>

namespace weft {
namespace {

Prediction step_of(double seconds) {
  Prediction p;
  p.seconds = p.low = p.high = seconds;
  return p;
}

/// Storage that reads 1000 bytes a second and writes 100.
CalibrationSet storage() {
  CalibrationSet costs;
  costs.read_bandwidth = 1000;
  costs.write_bandwidth = 100;
  return costs;
}

RunWork two_epochs_of_ten() {
  RunWork work;
  work.steps = 20;
  work.steps_per_epoch = 10;
  work.checkpoint.unit = CheckpointSpec::Unit::never;
  return work;
}

TEST(RunTime, IsTheStepsWhereNothingElseIsDone) {
  const RunTime t = time_to_train(step_of(2), two_epochs_of_ten(), storage());
  EXPECT_DOUBLE_EQ(t.seconds, 40);
  EXPECT_DOUBLE_EQ(t.epoch_seconds, 20);
  EXPECT_DOUBLE_EQ(t.low, 40);
  EXPECT_DOUBLE_EQ(t.high, 40);
}

TEST(RunTime, ReadingCostsWhatTheStepsDoNotHide) {
  RunWork work = two_epochs_of_ten();
  work.data_bytes = 15'000;  // 15 s
  EXPECT_DOUBLE_EQ(time_to_train(step_of(2), work, storage()).input_seconds, 0);
  EXPECT_DOUBLE_EQ(time_to_train(step_of(1), work, storage()).input_seconds, 5);
  work.keeps_data = false;
  const RunTime every_epoch = time_to_train(step_of(1), work, storage());
  EXPECT_DOUBLE_EQ(every_epoch.input_seconds, 10);
  EXPECT_DOUBLE_EQ(every_epoch.seconds, 30);
}

TEST(RunTime, CheckpointsAreCountedByTheirIntervalAndTheEndWritesOne) {
  RunWork work = two_epochs_of_ten();
  work.checkpoint_bytes = 300;  // 3 s
  EXPECT_DOUBLE_EQ(time_to_train(step_of(1), work, storage()).checkpoint_seconds, 3);
  work.checkpoint = {CheckpointSpec::Unit::steps, 8};
  EXPECT_EQ(time_to_train(step_of(1), work, storage()).checkpoints, 3) << "after 8, 16 and 20 steps";
  work.checkpoint = {CheckpointSpec::Unit::epochs, 1};
  EXPECT_EQ(time_to_train(step_of(1), work, storage()).checkpoints, 2);
  work.checkpoint = {CheckpointSpec::Unit::epochs, 0.5};
  EXPECT_DOUBLE_EQ(time_to_train(step_of(1), work, storage()).seconds, 20 + 4 * 3);
  work.checkpoint = {CheckpointSpec::Unit::minutes, 1};
  EXPECT_EQ(time_to_train(step_of(12), work, storage()).checkpoints, 4);
}

TEST(RunTime, WithoutMeasuredStorageIsAMarkedEstimate) {
  RunWork work = two_epochs_of_ten();
  work.checkpoint_bytes = 200e6;
  const RunTime assumed = time_to_train(step_of(1), work, {});
  EXPECT_FALSE(assumed.storage_measured);
  EXPECT_DOUBLE_EQ(assumed.checkpoint_seconds, 1);
  EXPECT_DOUBLE_EQ(assumed.high, 20 + 5);
  EXPECT_DOUBLE_EQ(assumed.low, 20.2);
  CalibrationSet fast;
  fast.read_bandwidth = fast.write_bandwidth = 200e6;
  const RunTime measured = time_to_train(step_of(1), work, fast);
  EXPECT_TRUE(measured.storage_measured);
  EXPECT_DOUBLE_EQ(measured.high, 21.5);
}

}  // namespace
}  // namespace weft
