#include "graph/training/parameters.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/graph/training/fixture.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::message_of;

using test::noise;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Model model_of_names() {
  Model m;
  m.states = {{"a.w", noise({2, 3}, 1), true, ""}, {"a.b", noise({3}, 1), true, ""},
              {"t.w", noise({2, 3}, 2), true, ""}, {"scale", noise({3}, 1), false, ""},
              {"mean", noise({3}, 1), false, ""},  {"index", Tensor(DType::i64, {3}), false, ""}};
  return m;
}

TEST(Parameters, TheModelsVerdictIsExtendedByTrainAndFreezeWins) {
  JobSpec job;
  job.train = {"scale", "mean"};
  job.freeze = {"a.*", "scale"};
  EXPECT_THAT(choose_parameters(model_of_names(), job, {}).trained, ElementsAre("t.w", "mean"));
}

TEST(Parameters, RunningStatisticsAreNeverTrained) {
  JobSpec job;
  job.train = {"*"};
  EXPECT_THAT(choose_parameters(model_of_names(), job, {"mean"}).trained, ElementsAre("a.w", "a.b", "t.w", "scale"));
}

TEST(Parameters, TiedNamesShareTheFirstOnesState) {
  JobSpec job;
  job.tie = {"t.w, a.w"};
  const Parameters p = choose_parameters(model_of_names(), job, {});
  EXPECT_EQ(p.holder("t.w"), "a.w");
  EXPECT_EQ(p.holder("a.b"), "a.b");
  EXPECT_THAT(p.trained, ElementsAre("a.w", "a.b"));
}

TEST(Parameters, FreezingOneMemberFreezesTheTie) {
  JobSpec job;
  job.tie = {"*.w"};
  job.freeze = {"t.w"};
  EXPECT_THAT(choose_parameters(model_of_names(), job, {}).trained, ElementsAre("a.b"));
}

TEST(Parameters, TiesOfDifferentShapesNameBothTypes) {
  JobSpec job;
  job.tie = {"a.*"};
  EXPECT_THAT(message_of([&] { choose_parameters(model_of_names(), job, {}); }),
              ::testing::AllOf(HasSubstr("f32[2, 3]"), HasSubstr("f32[3]"), HasSubstr("a.b")));
}

TEST(Parameters, ATieOfOneNameIsRefused) {
  JobSpec job;
  job.tie = {"a.w"};
  EXPECT_THAT(message_of([&] { choose_parameters(model_of_names(), job, {}); }), HasSubstr("at least two names"));
}

TEST(Parameters, ANameInTwoTiesIsRefused) {
  JobSpec job;
  job.tie = {"a.w,t.w", "t.w,a.w"};
  EXPECT_THAT(message_of([&] { choose_parameters(model_of_names(), job, {}); }), HasSubstr("in two groups"));
}

TEST(Parameters, TrainingIntegersIsRefused) {
  JobSpec job;
  job.train = {"index"};
  EXPECT_THAT(message_of([&] { choose_parameters(model_of_names(), job, {}); }), HasSubstr("integers"));
}

}  // namespace
}  // namespace weft
