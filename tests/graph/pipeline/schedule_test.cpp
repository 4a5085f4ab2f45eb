// Schedules by simulation.
#include "graph/pipeline/schedule.hpp"

#include <gtest/gtest.h>

#include "weft/error.hpp"

namespace weft {
namespace {

TEST(PipelineSchedule, OneForwardOneBackwardHasTheBubbleOfTheFormula) {
  for (const int p : {1, 2, 3, 4, 8})
    for (const int m : {1, 2, 3, 4, 7, 8, 16}) {
      const ScheduleTime time = simulate_schedule(pipeline_schedule(p, m, 1), p, 1, 2);
      EXPECT_NEAR(time.bubble, static_cast<double>(p - 1) / (m + p - 1), 1e-12) << p << " ranks, " << m;
      for (int r = 0; r < p; ++r) EXPECT_EQ(time.in_flight[static_cast<std::size_t>(r)], std::min(m, p - r));
    }
}

TEST(PipelineSchedule, ChunksDivideTheBubble) {
  for (const int p : {2, 3, 4, 8})
    for (const int v : {2, 3, 4})
      for (const int groups : {1, 2, 3}) {
        const int m = groups * p;
        const ScheduleTime time = simulate_schedule(pipeline_schedule(p, m, v), p * v, 1, 2);
        EXPECT_NEAR(time.bubble, static_cast<double>(p - 1) / (v * m + p - 1), 1e-12) << p << ", " << m << ", " << v;
        for (int r = 0; r < p; ++r)
          EXPECT_LE(time.in_flight[static_cast<std::size_t>(r)], 2 * (p - 1 - r) + (v - 1) * p + 1);
      }
}

TEST(PipelineSchedule, TheLastStageGoesBackAtOnce) {
  for (const int v : {1, 2, 3}) {
    const RankSchedule last = interleaved(4, 8, v, 3);
    for (std::size_t i = 0; i < last.size(); ++i) {
      if (last[i].backward || last[i].stage != 4 * v - 1) continue;
      EXPECT_EQ(last[i + 1], (StagePass{true, last[i].stage, last[i].micro_batch}));
    }
  }
}

TEST(PipelineSchedule, EachPassIsThereOnceAndInOrder) {
  for (const int v : {1, 2}) {
    for (int r = 0; r < 4; ++r) {
      const RankSchedule schedule = interleaved(4, 8, v, r);
      EXPECT_EQ(schedule.size(), static_cast<std::size_t>(2 * 8 * v));
      for (int chunk = 0; chunk < v; ++chunk)
        for (const bool backward : {false, true}) {
          int next = 0;
          for (const StagePass& pass : schedule) {
            if (pass.backward != backward || pass.stage != chunk * 4 + r) continue;
            EXPECT_EQ(pass.micro_batch, next++);
          }
          EXPECT_EQ(next, 8);
        }
    }
  }
}

TEST(PipelineSchedule, ChunksWantAMultipleOfRanks) { EXPECT_THROW(interleaved(4, 6, 2, 0), UserError); }

}  // namespace
}  // namespace weft
