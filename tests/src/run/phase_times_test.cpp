// Phases: each moment counts once, for the innermost.
#include "src/run/phase_times.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace weft {
namespace {

using std::chrono::milliseconds;

double seconds_of(const std::vector<PhaseTime>& times, const std::string& name) {
  for (const PhaseTime& p : times)
    if (p.name == name) return p.seconds;
  return 0;
}

TEST(PhaseTimes, APhaseInsideOfAnotherInterruptsIt) {
  PhaseTimes times(0.5);
  {
    const auto outer = times.enter("outer");
    std::this_thread::sleep_for(milliseconds(5));
    const auto inner = times.enter("inner");
    std::this_thread::sleep_for(milliseconds(5));
  }
  {
    const auto outer = times.enter("outer");
    std::this_thread::sleep_for(milliseconds(5));
  }
  std::this_thread::sleep_for(milliseconds(2));
  const std::vector<PhaseTime> found = times.times();
  EXPECT_EQ(found.front().name, "start");
  EXPECT_EQ(found.front().seconds, 0.5);
  EXPECT_EQ(found.back().name, "other");
  EXPECT_GE(seconds_of(found, "outer"), 0.010);
  EXPECT_GE(seconds_of(found, "inner"), 0.005);
  EXPECT_GE(seconds_of(found, "other"), 0.002);
  EXPECT_EQ(found.size(), 4U);
}

TEST(PhaseTimes, AProcessKnowsWhenItWasStarted) {
  const double first = seconds_since_process_start();
  EXPECT_GE(first, 0);
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_GE(seconds_since_process_start(), first + 0.02);
}

}  // namespace
}  // namespace weft
