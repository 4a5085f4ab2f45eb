// States in parts over the ranks that share out the samples: the values of the unsharded step, and what is exchanged.
#include "graph/partition/zero.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/ir/interpret.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/partition/network_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/message_of.hpp"

namespace weft {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The cuts of other axes and those that make a stage, however small the parts are.
StateCutList with_zero(const Graph& step, const Mesh& mesh, int stage, const StateCutList& cuts = {}) {
  StateCutList all = cuts;
  for (const StateCut& cut : zero_cuts(step, mesh, stage, cuts, 1)) all.push_back(cut);
  return all;
}

void expect_stages_train_alike(const Graph& step, const Mesh& mesh, const StateCutList& cuts, const Table& inputs) {
  for (const int stage : {1, 2, 3}) {
    SCOPED_TRACE("stage " + std::to_string(stage) + " on " + mesh.str());
    expect_same_on_mesh(step, mesh, with_zero(step, mesh, stage, cuts), inputs, 2e-5);
  }
}

NetworkStep tiny_mlp_step(const std::string& optimizer, std::int64_t batch = 6) {
  return network_step("mlp", {{"hidden", "16,12"}, {"inputs", "9"}, {"classes", "5"}}, batch, Shape{}, 5, true,
                      optimizer);
}

const Mesh kDataMeshes[] = {mesh_of(2, 1), mesh_of(4, 1), mesh_of(2, 2)};

/// Exchanges over "data" of matrices, by what they carry, in order.
std::vector<std::string> matrix_exchanges(const Graph& graph) {
  std::vector<std::string> result;
  for (const Node& node : graph.nodes())
    if (class_of(node.op) == OpClass::collective && graph.type(node.inputs[0]).shape.rank() >= 2)
      result.push_back(std::string(name_of(node.op)) + " " + graph.type(node.inputs[0]).str());
  return result;
}

TEST(Zero, GradientsAreScatteredAndParametersGathered) {
  const Graph step = tiny_mlp_step("adamw").graph;  // weights [16, 9], [12, 16] and [5, 12]
  const Mesh mesh = mesh_of(4, 1);
  const auto of_stage = [&](int stage) {
    return matrix_exchanges(partition(step, mesh, 0, with_zero(step, mesh, stage)));
  };
  EXPECT_THAT(of_stage(0), ElementsAre("all_reduce f32[5, 12]", "all_reduce f32[12, 16]", "all_reduce f32[16, 9]"));
  // [5, 12] has 12 columns over 4 ranks: scattered and gathered transposed.
  EXPECT_THAT(of_stage(1),
              ElementsAre("reduce_scatter f32[12, 5]", "reduce_scatter f32[12, 16]", "reduce_scatter f32[16, 9]",
                          "all_gather f32[4, 9]", "all_gather f32[3, 16]", "all_gather f32[3, 5]"));
  EXPECT_EQ(of_stage(2), of_stage(1));
  EXPECT_THAT(of_stage(3),
              ElementsAre("all_gather f32[4, 9]", "all_gather f32[3, 16]", "all_gather f32[3, 5]",
                          "reduce_scatter f32[12, 5]", "reduce_scatter f32[12, 16]", "reduce_scatter f32[16, 9]"));
}

TEST(Zero, EachStageCutsMoreStates) {
  const Model model = mlp(6);
  JobSpec job = plain_job();
  job.batch = 12;
  job.optimizer = optimizer_spec("adamw", {{"lr", 0.1}});
  const Graph step = build_training_step(model, job, {6, 12, Pass::last, {9, 3}, Shape{}}).graph;
  const auto cut_in = [&](int stage, const std::string& state) {
    return is_split(state_placements(step, mesh_of(2, 1), with_zero(step, mesh_of(2, 1), stage)).at(state).axes[0]);
  };
  for (const int stage : {0, 1, 2, 3}) {
    EXPECT_EQ(cut_in(stage, "optimizer/exp_avg/w1"), stage >= 1) << stage;
    EXPECT_EQ(cut_in(stage, "optimizer/exp_avg_sq/w2"), stage >= 1) << stage;
    EXPECT_EQ(cut_in(stage, "accumulate/w1"), stage >= 2) << stage;
    EXPECT_EQ(cut_in(stage, "w2"), stage >= 3) << stage;
    for (const char* small : {"b1", "optimizer/exp_avg/b1", "accumulate/b1", "step", "accumulate/sum/loss"})
      EXPECT_FALSE(cut_in(stage, small)) << small;
  }
}

TEST(Zero, TheDimensionWithTheMostEqualPartsIsCutThatNoOtherAxisCuts) {
  GraphBuilder b;
  for (const auto& [name, shape] : std::initializer_list<std::pair<const char*, Shape>>{
           {"even", {8, 12}}, {"columns", {6, 8}}, {"many", {50257, 8}}, {"odd", {13, 3}}, {"short", {3, 3}}})
    b.output(name, OutputRole::state, b.input(name, InputRole::state, {DType::f32, shape}));
  const Graph step = std::move(b).take();
  EXPECT_THAT(zero_cuts(step, mesh_of(4, 1), 3, {}, 1),
              ElementsAre(StateCut{"even", "data", 0}, StateCut{"columns", "data", 1}, StateCut{"many", "data", 0},
                          StateCut{"odd", "data", 0}));
  EXPECT_THAT(zero_cuts(step, mesh_of(4, 2), 3, {{"even", "tensor", 0}, {"many", "tensor", 1}}, 1),
              ElementsAre(StateCut{"even", "data", 1}, StateCut{"columns", "data", 1}, StateCut{"many", "data", 0},
                          StateCut{"odd", "data", 0}));
  EXPECT_THAT(zero_cuts(step, mesh_of(4, 1), 3, {}), ElementsAre(StateCut{"many", "data", 0}));
  EXPECT_THAT(data_parts(13, 4), ElementsAre(4, 4, 4, 1));
  EXPECT_THAT(data_parts(9, 8), ElementsAre(2, 1, 1, 1, 1, 1, 1, 1));
}

TEST(Zero, AnMlpTrainsAlike) {
  for (const char* optimizer : {"sgd", "adamw", "lamb", "lars", "rmsprop"}) {
    SCOPED_TRACE(optimizer);
    const NetworkStep step = tiny_mlp_step(optimizer);
    for (const Mesh& mesh : kDataMeshes)
      expect_stages_train_alike(step.graph, mesh,
                                mesh == mesh_of(2, 2) ? StateCutList{{"fc1.weight", "tensor", 0}} : StateCutList{},
                                step.inputs);
  }
}

TEST(Zero, RanksWithoutSamplesHoldTheirPartsToo) {
  const NetworkStep step = tiny_mlp_step("adamw", 3);
  expect_stages_train_alike(step.graph, mesh_of(4, 1), {}, step.inputs);
}

TEST(Zero, Gpt2TrainsAlike) {
  for (const char* optimizer : {"sgd", "adamw"}) {
    const NetworkStep step = tiny_gpt2_step(true, optimizer);  // 13 words over 2 and 4
    for (const Mesh& mesh : kDataMeshes)
      expect_stages_train_alike(
          step.graph, mesh,
          mesh == mesh_of(2, 2) ? StateCutList{{"transformer.h.0.attn.c_attn.weight", "tensor", 1, 3}} : StateCutList{},
          step.inputs);
  }
}

TEST(Zero, ResNetTrainsAlike) {
  const NetworkStep step = network_step("resnet18", {{"width", "4"}, {"image", "32"}, {"classes", "5"}}, 4, Shape{}, 5);
  for (const Mesh& mesh : {mesh_of(2, 1), mesh_of(4, 1)}) expect_stages_train_alike(step.graph, mesh, {}, step.inputs);
}

/// Two steps of three passes each; states of every rank from pass to pass.
TEST(Zero, PassesOfAStepSumTheirGradientsInParts) {
  JobSpec job = plain_job();
  job.batch = 12;
  job.optimizer = optimizer_spec("adamw", {{"lr", 0.01}, {"clip_norm", 0.5}});
  const std::int64_t sizes[] = {4, 6, 2};
  const Pass passes[] = {Pass::first, Pass::middle, Pass::last};
  const auto step_of = [&](int p) {
    return build_training_step(mlp(sizes[p]), job, {sizes[p], 12, passes[p], {9, 3}, Shape{}});
  };
  for (const Mesh& mesh : {mesh_of(2, 1), mesh_of(4, 1), mesh_of(2, 2)})
    for (const int stage : {1, 2, 3}) {
      SCOPED_TRACE("stage " + std::to_string(stage) + " on " + mesh.str());
      const StateCutList tensor = mesh == mesh_of(2, 2) ? StateCutList{{"w1", "tensor", 1}} : StateCutList{};
      const Graph last = step_of(2).graph;
      const auto placed = state_placements(last, mesh, with_zero(last, mesh, stage, tensor));
      const StateCutList cuts = settled_cuts(mesh, placed);
      Table whole;
      std::vector<Table> states(static_cast<std::size_t>(mesh.ranks()));
      const auto lies = [&](const std::string& state, std::size_t rank) {
        return part_of(whole.at(state), placed.at(state), mesh.coordinates(static_cast<int>(rank)));
      };
      for (const int p : {0, 1, 2, 0, 1, 2}) {
        const TrainingGraph step = step_of(p);
        add_initial_states(whole, mlp(sizes[p]), step);
        for (std::size_t r = 0; r < states.size(); ++r)
          for (const GraphInput& i : step.graph.inputs())
            if (i.role == InputRole::state && states[r].count(i.name) == 0) states[r][i.name] = lies(i.name, r);
        const Table inputs{{"x", noise(step.graph.type(step.graph.find_input("x")).shape, 60 + p)},
                           {"target", Tensor(DType::i64, {sizes[p]})},
                           {"sample_offset", Tensor::scalar<std::int64_t>(0)}};
        const std::vector<Table> actual = run_mesh(step.graph, mesh, cuts, inputs, states);
        const Table expected = run_pass(step.graph, whole, inputs);
        for (std::size_t r = 0; r < states.size(); ++r)
          for (const GraphOutput& o : step.graph.outputs()) {
            if (o.role == OutputRole::state) states[r][o.name] = actual[r].at(o.name);
            const bool share = o.name.starts_with("accumulate/") && !is_split(placed.at(o.name).axes[0]);
            if (share) continue;
            const Tensor want = o.role == OutputRole::state ? lies(o.name, r) : expected.at(o.name);
            EXPECT_LE(difference(actual[r].at(o.name), want), 2e-5) << o.name << " on rank " << r;
          }
      }
    }
}

TEST(Zero, AStepThatLossScalingSkipsChangesNoPart) {
  JobSpec job = plain_job();
  job.batch = 6;
  job.precision = DType::f16;
  job.optimizer = optimizer_spec("adamw", {{"lr", 0.01}});
  const Model model = mlp(6);
  const TrainingGraph step = build_training_step(model, job, {6, 6, Pass::only, {9, 3}, Shape{}});
  Table inputs;
  add_initial_states(inputs, model, step);
  inputs["x"] = noise(step.graph.type(step.graph.find_input("x")).shape, 100);
  inputs["target"] = Tensor(DType::i64, {6});
  inputs["sample_offset"] = Tensor::scalar<std::int64_t>(0);
  for (const float scale : {1024.0F, HUGE_VALF}) {
    inputs["loss_scale"] = Tensor::scalar(scale);
    for (const int stage : {1, 2, 3}) {
      const Mesh mesh = mesh_of(2, 1);
      const StateCutList cuts = with_zero(step.graph, mesh, stage);
      const auto placed = state_placements(step.graph, mesh, cuts);
      const Table expected = interpret(step.graph, inputs);
      const std::vector<Table> actual = run_mesh(step.graph, mesh, cuts, inputs);
      for (std::size_t r = 0; r < actual.size(); ++r)
        for (const GraphOutput& o : step.graph.outputs()) {
          if (o.role != OutputRole::state) continue;
          const Tensor want = part_of(expected.at(o.name), placed.at(o.name), {static_cast<int>(r), 0});
          EXPECT_LE(difference(actual[r].at(o.name), want), 2e-5) << o.name << " in stage " << stage;
          if (std::isinf(scale) && placed.count(o.name) != 0 && is_split(placed.at(o.name).axes[0])) {
            const Tensor before = part_of(inputs.at(o.name), placed.at(o.name), {static_cast<int>(r), 0});
            EXPECT_EQ(difference(actual[r].at(o.name), before), 0) << o.name;
          }
        }
    }
  }
}

TEST(Zero, EvaluationGathersWhatTrainingCuts) {
  const Model model = mlp(6);
  JobSpec job = plain_job();
  job.batch = 6;
  job.optimizer = optimizer_spec("adamw", {{"lr", 0.1}});
  const TrainingGraph step = build_training_step(model, job, {6, 6, Pass::only, {9, 3}, Shape{}});
  const EvaluationGraph evaluation = build_evaluation(model, job, 6, Shape{});
  const Mesh mesh = mesh_of(4, 1);
  const auto placed = state_placements(step.graph, mesh, with_zero(step.graph, mesh, 3));
  const StateCutList all = settled_cuts(mesh, placed);
  EXPECT_EQ(state_placements(step.graph, mesh, all), placed);
  for (const auto& [state, placement] : state_placements(evaluation.graph, mesh, all))
    EXPECT_EQ(placement, placed.at(state)) << state;
  Table inputs;
  add_initial_states(inputs, model, step);
  inputs["x"] = noise(step.graph.type(step.graph.find_input("x")).shape, 100);
  inputs["target"] = Tensor(DType::i64, {6});
  expect_same_on_mesh(evaluation.graph, mesh, all, inputs, 1e-5);
}

TEST(Zero, OneDimensionIsNotCutByDataAndAnotherAxis) {
  const Graph step = tiny_mlp_step("sgd").graph;
  const StateCutList cuts{{"fc1.weight", "tensor", 0}, {"fc1.weight", "data", 0}};
  EXPECT_THAT(testing::message_of([&] { partition(step, mesh_of(2, 2), 0, cuts); }),
              HasSubstr("dimension 0 of 'fc1.weight' is cut along 'data' and along another axis"));
  EXPECT_THAT(testing::message_of([&] { zero_cuts(step, mesh_of(2, 1), 4, {}); }), HasSubstr("parallel.zero is 4"));
}

}  // namespace
}  // namespace weft
