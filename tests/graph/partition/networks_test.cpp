// Training steps of whole networks over data x tensor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/partition/partition.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/partition/network_step.hpp"

namespace weft {
namespace {

using namespace test;
using ::testing::ElementsAre;

StateCutList gpt2_cuts() {
  StateCutList cuts{{"transformer.wte.weight", "tensor", 0}};
  for (const std::string layer : {"transformer.h.0.", "transformer.h.1."}) {
    cuts.push_back({layer + "attn.c_attn.weight", "tensor", 1, 3});
    cuts.push_back({layer + "mlp.c_fc.weight", "tensor", 1});
  }
  return cuts;
}

/// Exchanges over an axis by what they carry, in order; those of fewer than `least` numbers are left out.
std::vector<std::string> exchanges(const Graph& graph, const std::string& axis, std::int64_t least) {
  std::vector<std::string> result;
  for (const Node& node : graph.nodes())
    if (class_of(node.op) == OpClass::collective && node.attributes.texts("axes") == std::vector{axis} &&
        graph.type(node.inputs[0]).shape.elements() >= least)
      result.push_back(std::string(name_of(node.op)) + " " + graph.type(node.inputs[0]).str());
  return result;
}

TEST(MeshNetworks, Gpt2TrainsAlike) {
  for (const bool attention : {true, false}) {
    const NetworkStep step = tiny_gpt2_step(attention);
    for (const Mesh& mesh : {mesh_of(1, 2), mesh_of(2, 2), mesh_of(1, 4), mesh_of(2, 4), mesh_of(4, 1)})
      expect_same_on_mesh(step.graph, mesh, mesh.axis_size("tensor") > 1 ? gpt2_cuts() : StateCutList{}, step.inputs,
                          2e-5);
  }
}

TEST(MeshNetworks, Gpt2ExchangesTwiceALayerEachWay) {
  const NetworkStep step = tiny_gpt2_step(true);
  StateCutList cuts = gpt2_cuts();
  cuts.erase(cuts.begin());  // the embedding stays whole
  const std::string activations = "all_reduce f32[4, 5, 16]";
  EXPECT_THAT(exchanges(partition(step.graph, mesh_of(1, 2), 0, cuts), "tensor", 2),
              ElementsAre(activations, activations, activations, activations,  // forward: attention, MLP, twice
                          activations, activations, activations, activations));
  const Graph both = partition(step.graph, mesh_of(2, 2), 0, cuts);
  const std::string samples = "all_reduce f32[2, 5, 16]";  // of one data rank
  EXPECT_THAT(exchanges(both, "tensor", 2),
              ElementsAre(samples, samples, samples, samples, samples, samples, samples, samples));
}

TEST(MeshNetworks, AVocabularyInPartsExchangesWhatTheLossIsMadeOf) {
  const NetworkStep step = tiny_gpt2_step(true);
  const Graph local = partition(step.graph, mesh_of(1, 2), 0, {{"transformer.wte.weight", "tensor", 0}});
  const std::string tokens = "all_reduce f32[4, 5]", rows = "all_reduce f32[4, 5, 1]";
  // The table is smaller than what is read of it. Then the greatest logit, the sum of exponentials, the label's logit,
  // what the loss sums again, its gradient's sum; and the gradient with respect to the activations.
  EXPECT_THAT(exchanges(local, "tensor", 2),
              ElementsAre("all_gather f32[7, 16]", tokens, rows, rows, tokens, rows, "all_reduce f32[4, 5, 16]"));
}

TEST(MeshNetworks, Resnet18TrainsAlike) {
  const NetworkStep step = network_step("resnet18", {{"width", "4"}, {"image", "32"}, {"classes", "5"}}, 4, Shape{}, 5);
  StateCutList cuts;
  for (const std::string layer : {"layer1", "layer2", "layer3", "layer4"})
    for (const std::string block : {".0", ".1"}) cuts.push_back({layer + block + ".conv1.weight", "tensor", 0});
  for (const Mesh& mesh : {mesh_of(1, 2), mesh_of(2, 2), mesh_of(1, 4)})
    expect_same_on_mesh(step.graph, mesh, cuts, step.inputs, 1e-4);
  const auto forward_and_back = exchanges(partition(step.graph, mesh_of(1, 2), 0, cuts), "tensor", 2);
  EXPECT_EQ(forward_and_back.size(), 2u * 8) << "one a block each way";
}

}  // namespace
}  // namespace weft
