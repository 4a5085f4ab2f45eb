// States in parts over the ranks that share out the samples.
#include "graph/partition/zero.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/partition/network_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

constexpr std::int64_t kLeast = 1;  ///< however small a part is

/// The cuts of other axes and those that make a stage.
StateCutList with_zero(const Graph& step, const Mesh& mesh, int stage, const StateCutList& cuts) {
  StateCutList all = cuts;
  for (const StateCut& cut : zero_cuts(step, mesh, stage, cuts, kLeast)) all.push_back(cut);
  return all;
}

void expect_stages_train_alike(const Graph& step, const Mesh& mesh, const StateCutList& cuts, const Table& inputs) {
  for (const int stage : {1, 2, 3}) {
    SCOPED_TRACE(stage);
    expect_same_on_mesh(step, mesh, with_zero(step, mesh, stage, cuts), inputs, 2e-5);
  }
}

NetworkStep tiny_mlp_step(const std::string& optimizer) {
  return network_step("mlp", {{"hidden", "16,12"}, {"inputs", "9"}, {"classes", "5"}}, 6, Shape{}, 5, true, optimizer);
}

/// Exchanges over "data" of at least two numbers, by what they carry, in order.
std::vector<std::string> exchanges(const Graph& graph) {
  std::vector<std::string> result;
  for (const Node& node : graph.nodes())
    if (class_of(node.op) == OpClass::collective && node.attributes.texts("axes") == std::vector<std::string>{"data"} &&
        graph.type(node.inputs[0]).shape.elements() >= 2)
      result.push_back(std::string(name_of(node.op)) + " " + graph.type(node.inputs[0]).str());
  return result;
}

TEST(Zero, EachStageCutsMoreStates) {
  const NetworkStep step = tiny_mlp_step("adamw");
  const Mesh mesh = mesh_of(4, 1);
  for (const GraphInput& i : step.graph.inputs()) std::printf("%s %s\n", i.name.c_str(), step.graph.type(i.value).str().c_str());
  for (const int stage : {0, 1, 2, 3}) {
    const Graph local = partition(step.graph, mesh, 0, with_zero(step.graph, mesh, stage, {}));
    for (const std::string& e : exchanges(local)) std::printf("%d %s\n", stage, e.c_str());
  }
  const Graph local = partition(step.graph, mesh, 0, with_zero(step.graph, mesh, 1, {}));
  std::printf("%s", local.str().c_str());
}

TEST(Zero, AnMlpTrainsAlikeInEveryStage) {
  for (const char* optimizer : {"sgd", "adamw"}) {
    const NetworkStep step = tiny_mlp_step(optimizer);
    for (const Mesh& mesh : {mesh_of(2, 1), mesh_of(4, 1), mesh_of(2, 2)})
      expect_stages_train_alike(step.graph, mesh, {}, step.inputs);
  }
}

}  // namespace
}  // namespace weft
