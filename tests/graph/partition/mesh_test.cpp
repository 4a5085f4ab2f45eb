// Steps over data x tensor: values of the unsharded step, and the exchanges that one would write by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/partition/partition.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/message_of.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::int64_t kBatch = 6;

TrainingGraph step_over_mesh(const Model& model, const std::string& optimizer, double clip = 0) {
  JobSpec job = plain_job();
  job.batch = kBatch;
  job.metrics = {"accuracy"};
  job.optimizer = optimizer_spec(optimizer, {{"lr", 0.1}, {"clip_norm", clip}});
  return build_training_step(model, job, {kBatch, kBatch, Pass::only, {9, 3}, Shape{}});
}

Table inputs_over_mesh(const Model& model, const TrainingGraph& step) {
  Table inputs;
  add_initial_states(inputs, model, step);
  inputs["x"] = noise(step.graph.type(step.graph.find_input("x")).shape, 100);
  inputs["target"] = Tensor::from<std::int64_t>({kBatch}, {0, 1, 2, 3, 0, 1});
  inputs["sample_offset"] = Tensor::scalar<std::int64_t>(0);
  return inputs;
}

const Mesh kMeshes[] = {mesh_of(1, 2), mesh_of(1, 4), mesh_of(2, 2), mesh_of(4, 2), mesh_of(1, 3), mesh_of(2, 4)};

/// Exchanges over an axis that carry more than a few numbers: "all_reduce f32[6, 4]".
std::vector<std::string> large_exchanges(const Graph& graph, const std::string& axis) {
  std::vector<std::string> result;
  for (const Node& node : graph.nodes())
    if (class_of(node.op) == OpClass::collective && node.attributes.texts("axes") == std::vector{axis} &&
        graph.type(node.inputs[0]).shape.elements() > 4)
      result.push_back(std::string(name_of(node.op)) + " " + graph.type(node.inputs[0]).str());
  return result;
}

TEST(Mesh, AnMlpTrainsAlikeWhicheverWeightIsCut) {
  const Model model = mlp(kBatch);
  const TrainingGraph step = step_over_mesh(model, "adamw", 1.0);
  const Table inputs = inputs_over_mesh(model, step);
  for (const StateCutList& cuts :
       {StateCutList{{"w1", "tensor", 1}}, StateCutList{{"w1", "tensor", 0}}, StateCutList{{"w2", "tensor", 0}},
        StateCutList{{"w2", "tensor", 1}}, StateCutList{{"b1", "tensor", 0}}, StateCutList{}})
    for (const Mesh& mesh : kMeshes) {
      SCOPED_TRACE(cuts.empty() ? "none" : cuts[0].state + std::to_string(cuts[0].dimension));
      expect_same_on_mesh(step.graph, mesh, cuts, inputs, 1e-5);
    }
}

TEST(Mesh, AConvolutionalNetTrainsAlikeWhicheverWeightIsCut) {
  const Model model = conv_net(kBatch, 0.3);
  const TrainingGraph step = step_over_mesh(model, "sgd", 1.0);
  const Table inputs = inputs_over_mesh(model, step);
  for (const ModelState& s : model.states)
    for (int d = 0; d < s.initial.value().shape().rank(); ++d) {
      const StateCutList cuts{{s.name, "tensor", d}};
      for (const Mesh& mesh : kMeshes) {
        if (s.initial.value().shape()[d] < mesh.axis_size("tensor")) continue;
        SCOPED_TRACE(s.name + std::to_string(d));
        expect_same_on_mesh(step.graph, mesh, cuts, inputs, 1e-5);
      }
    }
}

TEST(Mesh, WeightsCutByColumnsAndThenByRowsExchangeOnce) {
  const Model model = mlp(kBatch);
  const Graph step = step_over_mesh(model, "adamw", 1.0).graph;
  const StateCutList cuts{{"w1", "tensor", 1}};
  EXPECT_THAT(large_exchanges(partition(step, mesh_of(1, 2), 0, cuts), "tensor"), ElementsAre("all_reduce f32[6, 4]"));
  const auto placements = state_placements(step, mesh_of(1, 2), cuts);
  for (const char* state : {"w2", "optimizer/exp_avg/w2", "optimizer/exp_avg_sq/w2", "b1", "optimizer/exp_avg/b1"})
    EXPECT_EQ(placements.at(state).str(), "[replicated, split(0)]") << state;
  EXPECT_EQ(placements.at("optimizer/exp_avg/w1").str(), "[replicated, split(1)]");
  EXPECT_EQ(placements.at("b2").str(), "[replicated, replicated]");
}

TEST(Mesh, AStateThatIsToStayWholeDoes) {
  const Model model = mlp(kBatch);
  const TrainingGraph step = step_over_mesh(model, "adamw", 1.0);
  const StateCutList cuts{{"w1", "tensor", 1}, {"w2", "tensor", StateCut::kWhole}};
  const auto placements = state_placements(step.graph, mesh_of(2, 2), cuts);
  EXPECT_EQ(placements.at("w2").str(), "[replicated, replicated]");
  EXPECT_EQ(placements.at("b1").str(), "[replicated, split(0)]");
  expect_same_on_mesh(step.graph, mesh_of(2, 2), cuts, inputs_over_mesh(model, step), 1e-5);
}

TEST(Mesh, EvaluationCutsStatesAsTrainingDoes) {
  const Model model = mlp(kBatch);
  const TrainingGraph step = step_over_mesh(model, "adamw");
  const Mesh mesh = mesh_of(1, 2);
  const auto trained = state_placements(step.graph, mesh, {{"b2", "tensor", 0}});
  const StateCutList all = settled_cuts(mesh, trained);
  EXPECT_EQ(state_placements(step.graph, mesh, all), trained);
  JobSpec job = plain_job();
  job.batch = kBatch;
  const EvaluationGraph evaluation = build_evaluation(model, job, kBatch, Shape{});
  for (const auto& [state, placement] : state_placements(evaluation.graph, mesh, all))
    EXPECT_EQ(placement, trained.at(state)) << state;
  Table inputs = inputs_over_mesh(model, step);
  expect_same_on_mesh(evaluation.graph, mesh, all, inputs, 1e-5);
}

TEST(Mesh, CutsThatCannotBeAreNamed) {
  const Graph step = step_over_mesh(mlp(kBatch), "sgd").graph;
  const auto message = [&](const StateCut& cut, const Mesh& mesh) {
    try {
      partition(step, mesh, 0, {cut});
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_THAT(message({"w1", "tensor", 2}, mesh_of(1, 2)), HasSubstr("no dimension 2"));
  EXPECT_THAT(message({"w1", "tensor", 0, 4}, mesh_of(1, 2)), HasSubstr("not 4 equal blocks"));
  EXPECT_THAT(message({"w1", "tensor", 1}, mesh_of(1, 8)), HasSubstr("too few for 8 ranks"));
  EXPECT_THAT(message({"w1", "data", 2}, mesh_of(2, 2)), HasSubstr("no dimension 2"));
  EXPECT_THAT(message({"w1", "expert", 1}, mesh_of(2, 2)), HasSubstr("not along 'expert'"));
}

TEST(Mesh, ManyPathsToOneValueAreLookedAtOnce) {
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{4, 8}});
  const ValueId w = b.input("w", InputRole::state, {DType::f32, Shape{8, 8}});
  for (int i = 0; i < 60; ++i) x = b.add(x, b.unary(Op::tanh, x));  // 2^60 paths
  const ValueId y = b.one(Op::dot_general, {x, w},
                          {{"x_batch", Dims{}}, {"y_batch", Dims{}}, {"x_contract", Dims{1}}, {"y_contract", Dims{0}}});
  b.output("y", OutputRole::fetch, y);
  const Graph step = std::move(b).take();
  Table inputs{{"x", noise(Shape{4, 8}, 1)}, {"w", noise(Shape{8, 8}, 2)}};
  expect_same_on_mesh(step, mesh_of(1, 2), {{"w", "tensor", 0}}, inputs, 1e-5);
}

/// x [4, 8] times w [8, extent], a bias [extent] added, over expert x tensor.
Graph two_axes_step(std::int64_t extent) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{4, 8}});
  const ValueId w = b.input("w", InputRole::state, {DType::f32, Shape{8, extent}});
  const ValueId bias = b.input("bias", InputRole::state, {DType::f32, Shape{extent}});
  const ValueId y = b.one(Op::dot_general, {x, w},
                          {{"x_batch", Dims{}}, {"y_batch", Dims{}}, {"x_contract", Dims{1}}, {"y_contract", Dims{0}}});
  b.output("y", OutputRole::fetch, b.add(y, b.broadcast_in(bias, Shape{4, extent}, {1})));
  return std::move(b).take();
}

TEST(Mesh, TwoAxesMayCutOneDimension) {
  const Mesh mesh{{{"expert", 3}, {"tensor", 2}}};
  const StateCutList cuts{{"w", "expert", 1}, {"w", "tensor", 1}};
  for (const std::int64_t extent : {12, 9}) {
    const Graph step = two_axes_step(extent);
    const Table inputs{
        {"x", noise(Shape{4, 8}, 1)}, {"w", noise(Shape{8, extent}, 2)}, {"bias", noise(Shape{extent}, 3)}};
    expect_same_on_mesh(step, mesh, cuts, inputs, 1e-5);
  }
}

TEST(Mesh, WhatOneAxisLeavesInUnequalPartsIsNotCutAgain) {
  const Mesh mesh{{{"expert", 3}, {"tensor", 2}}};
  const StateCutList cuts{{"w", "expert", 1}, {"w", "tensor", 1}};
  const Graph step = two_axes_step(11);  // 4, 4 and 3: 2 and 2, or 2 and 1
  EXPECT_THAT(testing::message_of([&] { partition(step, mesh, 5, cuts); }),
              AllOf(HasSubstr("dimension 1 of 'w'"), HasSubstr("'expert' leaves unequal parts")));
}

}  // namespace
}  // namespace weft
