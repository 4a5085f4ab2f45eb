// Where stages are cut.
#include "graph/pipeline/stages.hpp"

#include <gtest/gtest.h>

#include "tests/graph/pipeline/pipelined_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace test;

PassedStep deep_mlp(const std::string& hidden) {
  return {network("mlp", {{"hidden", hidden}, {"inputs", "8"}, {"classes", "4"}}), plain_job(), 2, 2};
}

TEST(ChooseStages, EqualLayersAreSharedEqually) {
  const Graph pass = deep_mlp("8,8,8").graph(Pass::middle);
  const StageCut two = choose_stages(pass, {2, 1, 2}), four = choose_stages(pass, {4, 1, 2});
  ASSERT_EQ(two.size(), 1U);
  ASSERT_EQ(four.size(), 3U);
  EXPECT_EQ(place_in_stages(pass, four).stages, 4);
}

TEST(ChooseStages, TooManyStagesAreRefused) {
  const Graph pass = deep_mlp("8").graph(Pass::middle);
  EXPECT_NE(testing::message_of([&] { choose_stages(pass, {16, 1, 2}); }).find("fewer ranks"), std::string::npos);
}

TEST(ChooseStages, AStageThatDoesNotFitIsRefusedWithWhatWould) {
  const Graph pass = deep_mlp("64,64,64").graph(Pass::middle);
  const std::string refusal = testing::message_of([&] { choose_stages(pass, {2, 1, 2, 1000}); });
  EXPECT_NE(refusal.find("the best needs about"), std::string::npos) << refusal;
  EXPECT_EQ(choose_stages(pass, {2, 1, 2, 1 << 20}).size(), 1U);
}

TEST(PlaceInStages, NoNodeReadsALaterSegment) {
  const Graph pass = deep_mlp("8,8,8").graph(Pass::middle);
  const StagedPass staged = place_in_stages(pass, choose_stages(pass, {4, 1, 2}));
  for (std::size_t n = 0; n < pass.nodes().size(); ++n)
    for (const ValueId v : pass.nodes()[n].inputs)
      if (const NodeId from = pass.value(v).producer; from != kNone && staged.rules.segment[n] != kWhereRead) {
        EXPECT_LE(staged.rules.segment[static_cast<std::size_t>(from)], staged.rules.segment[n]);
      }
}

PassedStep tiny_gpt2() {
  return {network("gpt2", {{"vocabulary", "13"},
                           {"width", "16"},
                           {"heads", "4"},
                           {"layers", "2"},
                           {"sequence", "5"},
                           {"positions", "8"}}),
          plain_job(),
          2,
          2,
          Shape{5},
          13};
}

void expect_sums_at_home(const Graph& pass, int stages) {
  const StagedPass staged = place_in_stages(pass, choose_stages(pass, {stages, 1, 2}));
  for (const auto& [state, home] : staged.homes)
    if (const auto sum = staged.homes.find(kAccumulated + state); sum != staged.homes.end()) {
      EXPECT_EQ(sum->second, home) << state << " of " << stages << " stages";
    }
}

TEST(PlaceInStages, GradientsAreSummedUpWhereTheirParameterIs) {
  expect_sums_at_home(deep_mlp("8,8,8").graph(Pass::middle), 4);
  for (const int stages : {2, 3, 4, 8}) expect_sums_at_home(tiny_gpt2().graph(Pass::middle), stages);
}

}  // namespace
}  // namespace weft
