// Simplification of training steps, before and after they are cut into ranks' shares.
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "graph/ir/op_rules.hpp"
#include "graph/ir/passes/simplify.hpp"
#include "graph/partition/partition.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

constexpr std::int64_t kSamples = 6;

TrainingGraph step_of(const Model& model, const std::string& optimizer) {
  JobSpec job = plain_job();
  job.batch = kSamples;
  job.metrics = {"accuracy"};
  job.schedule = schedule_spec({{"name", "cosine"}, {"warmup", 3}});
  job.optimizer = optimizer_spec(optimizer, {{"lr", 0.1}, {"weight_decay", 0.01}, {"clip_norm", 1.0}});
  return build_training_step(model, job, {kSamples, kSamples, Pass::only, {9, 3}, Shape{}});
}

Table inputs_of(const Model& model, const TrainingGraph& step) {
  Table inputs;
  add_initial_states(inputs, model, step);
  const ValueId x = step.graph.find_input("x");
  inputs["x"] = noise(step.graph.type(x).shape, 100);
  inputs["target"] = Tensor::from<std::int64_t>({kSamples}, {0, 1, 2, 3, 0, 1});
  inputs["sample_offset"] = Tensor::scalar<std::int64_t>(0);
  return inputs;
}

Graph whole_decomposed(const Graph& graph) {
  return decompose(graph, [](const Node& node) { return is_pointwise(node.op); });
}

std::vector<std::string> collectives(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes())
    if (class_of(node.op) == OpClass::collective) names.push_back(node.name);
  return names;
}

TEST(SimplifiedStep, ComputesTheSameBits) {
  for (const char* optimizer : {"sgd", "adamw", "lamb", "rmsprop"})
    for (const bool images : {false, true}) {
      const Model model = images ? conv_net(kSamples, 0.3) : mlp(kSamples);
      const TrainingGraph step = step_of(model, optimizer);
      const Graph before = whole_decomposed(step.graph), after = simplify(before);
      const Table inputs = inputs_of(model, step);
      const Table expected = interpret(before, inputs), actual = interpret(after, inputs);
      EXPECT_LT(after.nodes().size(), before.nodes().size() * 9 / 10);
      EXPECT_EQ(simplify(after).str(), after.str());
      for (const auto& [name, value] : expected) EXPECT_TRUE(actual.at(name).identical(value)) << name;
    }
}

TEST(SimplifiedStep, AllRanksMakeTheSameCallsThoughSomeHaveNoSamples) {
  const Model model = conv_net(kSamples, 0.3);
  const Graph step = simplify(step_of(model, "sgd").graph);
  for (const int ranks : {2, 4, 8}) {
    const auto first = collectives(simplify(whole_decomposed(partition(step, data_mesh(ranks), 0))));
    EXPECT_FALSE(first.empty());
    for (int r = 1; r < ranks; ++r)
      EXPECT_EQ(collectives(simplify(whole_decomposed(partition(step, data_mesh(ranks), r)))), first);
  }
}

TEST(SimplifiedStep, TrainsAlikeOnAnyRankCount) {
  for (const bool images : {false, true}) {
    const Model model = images ? conv_net(kSamples, 0.3) : mlp(kSamples);
    const TrainingGraph step = step_of(model, "adamw");
    for (const int ranks : {1, 2, 4, 8})
      expect_same_on_ranks(simplify(step.graph), ranks, inputs_of(model, step), 1e-5);
  }
}

}  // namespace
}  // namespace weft
