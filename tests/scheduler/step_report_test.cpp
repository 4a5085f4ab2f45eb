// The sentence at the end of a training.
#include "scheduler/step_report.hpp"

#include <gtest/gtest.h>

namespace weft {
namespace {

Prediction prediction(double seconds, bool calibrated) {
  Prediction p;
  p.seconds = seconds;
  p.low = 0.9 * seconds;
  p.high = 1.2 * seconds;
  p.calibrated = calibrated;
  return p;
}

TEST(StepReport, SaysPredictedIntervalMeasuredAndDifference) {
  EXPECT_EQ(step_time_line(prediction(0.02, true), 0.021),
            "step time: predicted 20.0 ms (18.0 to 24.0), measured 21.0 ms (+5.0 %)");
  EXPECT_EQ(step_time_line(prediction(0.0005, true), 0.0004),
            "step time: predicted 0.500 ms (0.450 to 0.600), measured 0.400 ms (-20.0 %)");
}

TEST(StepReport, MarksAPredictionThatRestsOnEstimates) {
  EXPECT_EQ(step_time_line(prediction(2, false), 1),
            "step time: predicted 2000 ms (1800 to 2400, uncalibrated), measured 1000 ms (-50.0 %); `weft calibrate` "
            "measures this machine");
}

TEST(StepReport, LeavesOutWhatIsNotThere) {
  EXPECT_EQ(step_time_line(prediction(0.02, true), 0), "step time: predicted 20.0 ms (18.0 to 24.0)");
  EXPECT_EQ(step_time_line(prediction(0, true), 0.02),
            "step time: predicted 0.000 ms (0.000 to 0.000), measured 20.0 ms");
}

TEST(StepReport, DurationsHaveTheUnitThatPeopleUse) {
  EXPECT_EQ(duration_text(0.0005), "0.500 ms");
  EXPECT_EQ(duration_text(0.0123), "12.3 ms");
  EXPECT_EQ(duration_text(59), "59.0 s");
  EXPECT_EQ(duration_text(600), "10 min");
  EXPECT_EQ(duration_text(9000), "2.5 h");
}

}  // namespace
}  // namespace weft
