// Who counts as slow, and who does not.
#include "src/train/stragglers.hpp"

#include <gtest/gtest.h>

namespace weft {
namespace {

using Seconds = std::vector<double>;

TEST(StragglerJudge, NamesARankThatIsSlowAgainAndAgainOnce) {
  StragglerJudge judge;
  for (int sample = 1; sample <= 10; ++sample) {
    const auto found = judge.judge(Seconds{0.100, 0.101, 0.150, 0.099});
    ASSERT_EQ(found.has_value(), sample == StragglerJudge::kSamples) << sample;
    if (!found) continue;
    EXPECT_EQ(found->rank, 2);
    EXPECT_EQ(found->seconds, 0.150);
    EXPECT_EQ(found->median, 0.100);
  }
}

TEST(StragglerJudge, OfTwoRanksNamesTheSlowerOne) {
  StragglerJudge judge;
  std::optional<Straggler> found;
  for (int sample = 0; sample < StragglerJudge::kSamples; ++sample) found = judge.judge(Seconds{0.2, 0.1});
  ASSERT_TRUE(found);
  EXPECT_EQ(found->rank, 0);
  EXPECT_EQ(found->median, 0.1);
}

TEST(StragglerJudge, ForgivesARankThatIsSlowNowAndThen) {
  StragglerJudge judge;
  for (int sample = 0; sample < 30; ++sample)
    EXPECT_FALSE(judge.judge(Seconds{0.1, sample % StragglerJudge::kSamples == 0 ? 0.1 : 0.3}));
}

TEST(StragglerJudge, SmallDifferencesAreNoNews) {
  StragglerJudge judge;
  for (int sample = 0; sample < 10; ++sample) {
    EXPECT_FALSE(judge.judge(Seconds{0.100, 0.110})) << "a tenth";
    EXPECT_FALSE(judge.judge(Seconds{0.0001, 0.0009})) << "less than a millisecond";
    EXPECT_FALSE(judge.judge(Seconds{0, 0, 0}));
  }
}

TEST(StragglerJudge, NamesARankAgainAfterItWasAsFastAsTheOthers) {
  StragglerJudge judge;
  const auto slow = [&] {
    int named = 0;
    for (int sample = 0; sample < 5; ++sample) named += judge.judge(Seconds{0.1, 0.2}) ? 1 : 0;
    return named;
  };
  EXPECT_EQ(slow(), 1);
  judge.judge(Seconds{0.1, 0.1});
  EXPECT_EQ(slow(), 1);
}

}  // namespace
}  // namespace weft
