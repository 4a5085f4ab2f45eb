// Cuts that come out of costs, for networks whose best cuts are known.
#include "graph/partition/choose_cuts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "graph/ir/passes/simplify.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/partition/network_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

StateCut tensor_cut(const std::string& state, int dimension, std::int64_t blocks = 1) {
  return {state, "tensor", dimension, blocks};
}

NetworkStep small_gpt2(std::int64_t batch) {
  return network_step("gpt2",
                      {{"vocabulary", "1001"},
                       {"width", "64"},
                       {"heads", "4"},
                       {"layers", "2"},
                       {"sequence", "128"},
                       {"positions", "128"},
                       {"dropout", "0.1"}},
                      batch, Shape{128}, 1001);
}

TEST(ChooseCuts, ATransformerIsCutByHeadsColumnsAndVocabulary) {
  EXPECT_THAT(
      choose_cuts(small_gpt2(8).graph, mesh_of(2, 2)),
      ElementsAre(tensor_cut("transformer.wte.weight", 0), tensor_cut("transformer.h.0.attn.c_attn.weight", 1, 3),
                  tensor_cut("transformer.h.1.attn.c_attn.weight", 1, 3),
                  tensor_cut("transformer.h.0.mlp.c_fc.weight", 1), tensor_cut("transformer.h.1.mlp.c_fc.weight", 1)));
}

TEST(ChooseCuts, TheRestIsChosenAroundCutsThatAreFixed) {
  const NetworkStep step = small_gpt2(8);
  const StateCutList fixed{tensor_cut("transformer.wte.weight", StateCut::kWhole),
                           tensor_cut("transformer.h.1.mlp.c_proj.weight", 0)};
  EXPECT_THAT(choose_cuts(step.graph, mesh_of(2, 2), {}, {}, fixed),
              ElementsAre(fixed[0], fixed[1], tensor_cut("transformer.h.0.attn.c_attn.weight", 1, 3),
                          tensor_cut("transformer.h.1.attn.c_attn.weight", 1, 3),
                          tensor_cut("transformer.h.0.mlp.c_fc.weight", 1)));
}

TEST(ChooseCuts, EvenPartsAreAllThatIsLookedAtWhereThatIsAsked) {
  for (const StateCut& cut : choose_cuts(small_gpt2(8).graph, mesh_of(1, 2), {}, {.even = true}))
    EXPECT_NE(cut.state, "transformer.wte.weight") << "1001 words";
}

TEST(ChooseCuts, WhereTheNetworkIsTooSlowNothingIsCut) {
  CostRates slow;
  slow.network = 1e6;
  slow.latency = 1;
  EXPECT_THAT(choose_cuts(small_gpt2(2).graph, mesh_of(1, 2), slow), IsEmpty());
}

TEST(ChooseCuts, AResidualNetworkIsCutByChannels) {
  CostRates fast;
  fast.network = 1e12;
  fast.latency = 1e-8;
  const NetworkStep step =
      network_step("resnet18", {{"width", "16"}, {"image", "32"}, {"classes", "5"}}, 4, Shape{}, 5);
  const StateCutList cuts = choose_cuts(step.graph, mesh_of(1, 2), fast);
  EXPECT_FALSE(cuts.empty());
  for (const StateCut& c : cuts) EXPECT_LE(c.dimension, 1) << c.state;
  expect_same_on_mesh(step.graph, mesh_of(1, 2), cuts, step.inputs, 1e-4);
}

TEST(ChooseCuts, ChosenCutsComputeTheSame) {
  const NetworkStep step = tiny_gpt2_step(true);
  CostRates fast;
  fast.network = 1e12;
  fast.latency = 1e-9;
  for (const Mesh& mesh : {mesh_of(1, 2), mesh_of(2, 2), mesh_of(1, 4)}) {
    const StateCutList cuts = choose_cuts(step.graph, mesh, fast);
    EXPECT_FALSE(cuts.empty());
    expect_same_on_mesh(step.graph, mesh, cuts, step.inputs, 2e-5);
  }
}

/// Seconds of processor time to choose cuts for so many layers alike, of which each is cut.
double seconds_to_choose(int layers) {
  std::string hidden = "256";
  for (int i = 1; i < layers; ++i) hidden += ",256";
  const NetworkStep step =
      network_step("mlp", {{"inputs", "64"}, {"hidden", hidden}, {"classes", "8"}}, 64, Shape{}, 8);
  CostRates fast;
  fast.network = 1e12;
  fast.latency = 1e-8;
  const std::clock_t start = std::clock();
  EXPECT_EQ(choose_cuts(step.graph, mesh_of(1, 2), fast).size(), static_cast<std::size_t>(layers));
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

TEST(ChooseCuts, LayersAlikeAreTriedTogether) {
  // In proportion to the layers it is 4 times as much; one layer after the other, 16 times.
  EXPECT_LT(seconds_to_choose(96), 10 * seconds_to_choose(24));
}

}  // namespace
}  // namespace weft
