// Progress: a bar where a terminal redraws, lines now and then elsewhere, and a smoothed time left.
#include "src/run/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace weft {
namespace {

using std::chrono::seconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

const Progress::Clock::time_point kStart{};

ProgressState at_step(std::int64_t step) {
  ProgressState state;
  state.step = step;
  state.total_steps = 100;
  state.epoch = static_cast<double>(step) / 50;
  state.total_epochs = 2;
  state.loss = 0.4312;
  state.samples_per_s = 12345;
  state.metrics = {{"accuracy", 0.88}};
  return state;
}

ProgressStyle bar_of(int width) {
  ProgressStyle style;
  style.bar = true;
  style.width = width;
  style.interval = std::chrono::milliseconds(0);
  return style;
}

TEST(Progress, PlainLinesComeNowAndThenAndAtBothEnds) {
  std::ostringstream out;
  Progress progress(out, ProgressStyle{false, 80, seconds(10)}, 0);
  for (int step = 1; step <= 100; ++step) progress.update(at_step(step), kStart + seconds(step / 4));
  std::istringstream lines(out.str());
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);) found.push_back(line.substr(0, line.find("  ")));
  EXPECT_EQ(found, (std::vector<std::string>{"step 1/100", "step 40/100", "step 80/100", "step 100/100"}));
}

TEST(Progress, PlainLinesHaveNoControlCharacters) {
  std::ostringstream out;
  Progress progress(out, ProgressStyle{}, 0);
  progress.update(at_step(50), kStart);
  progress.note("saved");
  progress.finish();
  EXPECT_EQ(out.str(), "step 50/100  epoch 1.00/2  loss 0.4312  accuracy 0.88  12.3k samples/s\nsaved\n");
}

TEST(Progress, TimeLeftComesFromTheStepsOfThisJob) {
  std::ostringstream out;
  Progress progress(out, ProgressStyle{false, 80, seconds(0)}, 40);
  progress.update(at_step(41), kStart);
  progress.update(at_step(51), kStart + seconds(20));
  EXPECT_THAT(out.str(), EndsWith("1:38 left\n"));  // 49 steps of 2 s
}

TEST(Progress, TimeLeftIsSmoothed) {
  std::ostringstream out;
  Progress progress(out, ProgressStyle{false, 80, seconds(0)}, 0);
  progress.update(at_step(1), kStart);
  progress.update(at_step(31), kStart + seconds(30));  // 1 s a step
  progress.update(at_step(32), kStart + seconds(33));  // one of 3 s
  EXPECT_THAT(out.str(), EndsWith("1:21 left\n"));     // 68 steps of 1.19 s, not of 3 s
}

TEST(Progress, TheBarRedrawsOneLineAndNeverWraps) {
  for (const int width : {1, 20, 40, 60, 200}) {
    std::ostringstream out;
    {
      Progress progress(out, bar_of(width), 0);
      progress.update(at_step(50), kStart);
      progress.update(at_step(51), kStart + seconds(1));
    }
    const std::string text = out.str();
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << width;
    EXPECT_EQ(text.back(), '\n') << width;
    std::istringstream drawings(text.substr(1, text.size() - 2));
    for (std::string line; std::getline(drawings, line, '\r');)
      EXPECT_LT(line.size(), static_cast<std::size_t>(width) + (width == 1)) << line;
  }
}

TEST(Progress, ANarrowBarKeepsTheStepAndTheTimeLeft) {
  std::ostringstream out;
  Progress progress(out, bar_of(70), 0);
  progress.update(at_step(10), kStart);
  progress.update(at_step(20), kStart + seconds(10));
  EXPECT_EQ(progress.line(at_step(50)), "[##########..........]  step 50/100  epoch 1.00/2  50.0 s left");
}

TEST(Progress, ANoteStandsAboveTheBar) {
  std::ostringstream out;
  Progress progress(out, bar_of(200), 0);
  progress.update(at_step(50), kStart);
  progress.note("saved step-50.h5");
  EXPECT_THAT(out.str(), HasSubstr("\rsaved step-50.h5"));
  EXPECT_THAT(out.str(), EndsWith("samples/s"));
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
}

TEST(Progress, AnUnknownTotalShowsNoBar) {
  std::ostringstream out;
  Progress progress(out, bar_of(80), 0);
  ProgressState state;
  state.step = 7;
  EXPECT_EQ(progress.line(state), "step 7");
}

}  // namespace
}  // namespace weft
