// Whole steps as pipelines, interpreted, against one rank's passes.
#include "graph/pipeline/pipeline.hpp"

#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "graph/ir/op_rules.hpp"
#include "graph/ir/passes/attention.hpp"
#include "graph/ir/passes/simplify.hpp"
#include "tests/graph/pipeline/harness.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

JobSpec job_with(const OptimizerSpec& optimizer) {
  JobSpec job = plain_job();
  job.optimizer = optimizer;
  job.metrics = {"accuracy"};
  return job;
}

OptimizerSpec clipped_sgd() { return optimizer_spec("sgd", {{"lr", 0.1}, {"momentum", 0.9}, {"clip_norm", 1.0}}); }
OptimizerSpec adamw() { return optimizer_spec("adamw", {{"lr", 0.01}, {"weight_decay", 0.1}, {"clip_norm", 1.0}}); }

PassedStep mlp_step(std::int64_t micro_batches, OptimizerSpec optimizer = clipped_sgd()) {
  PassedStep step{network("mlp", {{"hidden", "9,8,7,6,9,8,7"}, {"inputs", "6"}, {"classes", "4"}}), job_with(optimizer),
                  2, micro_batches};
  step.job.batch = 2 * micro_batches;
  return step;
}

TEST(Pipeline, AnMlpOfTwoStagesTrainsBitForBitAsOnOneRank) {
  for (const int m : {2, 3}) expect_trains_alike(mlp_step(m), pipeline_mesh(2), 1, 0);
}

TEST(Pipeline, AnyNumberOfStagesAndMicroBatchesTrainsBitForBitAsOnOneRank) {
  for (const int p : {2, 3, 4, 8})
    for (const int m : {2, 3, 5, 8}) expect_trains_alike(mlp_step(m), pipeline_mesh(p), 1, 0);
}

TEST(Pipeline, AdamWTrainsBitForBitAsOnOneRank) { expect_trains_alike(mlp_step(4, adamw()), pipeline_mesh(4), 1, 0); }

TEST(Pipeline, OneMicroBatchIsAStepOfItsOwn) { expect_trains_alike(mlp_step(1), pipeline_mesh(3), 1, 1e-6); }

TEST(Pipeline, ChunksTrainBitForBitAsOnOneRank) {
  for (const int p : {2, 4})
    for (const int m : {4, 8}) expect_trains_alike(mlp_step(m, adamw()), pipeline_mesh(p), 2, 0);
  expect_trains_alike(mlp_step(6), pipeline_mesh(2), 3, 0);
}

TEST(Pipeline, ItCombinesWithSamplesOverRanks) {
  for (const int m : {2, 4}) expect_trains_alike(mlp_step(m, adamw()), mesh_of(2, 1, 2), 1, 1e-5);
  expect_trains_alike(mlp_step(3), mesh_of(2, 1, 4), 1, 1e-5);
}

TEST(Pipeline, ItCombinesWithCutParameters) {
  const StateCutList cuts{{"fc1.weight", "tensor", 0}, {"fc5.weight", "tensor", 0}};  // 9 rows over 2
  expect_trains_alike(mlp_step(2, adamw()), mesh_of(1, 2, 2), 1, 1e-5, cuts);
  expect_trains_alike(mlp_step(4), mesh_of(2, 2, 2), 2, 1e-5, cuts);
}

PassedStep conv_step(std::int64_t micro_batches) {
  PassedStep step{[](std::int64_t samples) { return conv_net(samples, 0.25); }, job_with(clipped_sgd()), 4,
                  micro_batches};
  step.job.batch = 4 * micro_batches;
  step.job.batch_norm_group = 2;
  return step;
}

TEST(Pipeline, BatchNormalisationAndDropoutTrainBitForBitAsOnOneRank) {
  for (const int m : {2, 4}) expect_trains_alike(conv_step(m), pipeline_mesh(2), 1, 0);
  expect_trains_alike(conv_step(2), mesh_of(2, 1, 2), 1, 1e-5);
}

PassedStep gpt2_step(std::int64_t micro_batches, const OptimizerSpec& optimizer) {
  PassedStep step{network("gpt2", {{"vocabulary", "13"},
                                   {"width", "16"},
                                   {"heads", "4"},
                                   {"layers", "2"},
                                   {"sequence", "5"},
                                   {"positions", "8"},
                                   {"dropout", "0.1"}}),
                  job_with(optimizer),
                  2,
                  micro_batches,
                  Shape{5},
                  13};
  step.job.batch = 2 * micro_batches;
  step.job.metrics = {"accuracy", "perplexity"};
  return step;
}

// Each stage sums up its share of the embedding's gradient: another order of sums.
TEST(Pipeline, Gpt2WithTiedWeightsTrainsAsOnOneRank) {
  expect_trains_alike(gpt2_step(1, clipped_sgd()), pipeline_mesh(2), 1, 1e-6);
  expect_trains_alike(gpt2_step(4, clipped_sgd()), pipeline_mesh(4), 1, 1e-6);
  expect_trains_alike(gpt2_step(4, clipped_sgd()), pipeline_mesh(2), 2, 1e-6);
}

TEST(Pipeline, AGradientOfTiedWeightsIsSentOnceAStep) {
  const PipelinedStep pipelined(gpt2_step(4, clipped_sgd()), pipeline_mesh(2), 1);
  int whole = 0;
  for (const RankScript& script : pipelined.pipelines().front().scripts)
    for (const Transfer& t : script.sends)
      if (t.buffer >= 0 && script.buffers[static_cast<std::size_t>(t.buffer)].type.shape == Shape{13, 16}) ++whole;
  EXPECT_EQ(whole, 1);
}

// The gradient of a key's bias is 0 but for rounding, which Adam divides by itself: plain descent here.
TEST(Pipeline, Gpt2CombinesWithSamplesAndHeadsOverRanks) {
  expect_trains_alike(gpt2_step(2, clipped_sgd()), mesh_of(2, 1, 2), 1, 1e-5);
  const StateCutList cuts{{"transformer.h.0.mlp.c_fc.weight", "tensor", 1},
                          {"transformer.h.1.attn.c_attn.weight", "tensor", 1, 3},
                          {"transformer.wte.weight", "tensor", 0}};
  expect_trains_alike(gpt2_step(2, clipped_sgd()), mesh_of(1, 2, 2), 1, 1e-5, cuts);
}

/// Evaluation of one batch over ranks, with the states of training, against one rank's.
void expect_evaluates_alike(const PassedStep& step, int ranks) {
  const Graph pass = step.graph(Pass::middle), last = step.graph(Pass::last);
  const auto primitive = [](const Graph& g) {
    return simplify(decompose(g, [](const Node& n) { return is_pointwise(n.op) || is_attention(n.op); }));
  };
  const StageCut cut = choose_stages(pass, {ranks, 1, 2});
  const Model model = step.make(step.pass_samples);
  const Graph whole = primitive(build_evaluation(model, step.job, step.pass_samples, step.target_sample).graph);
  const std::vector<Pipeline> evaluation{make_evaluation_pipeline(whole, cut, {ranks, 1, 1})};
  const Pipeline training =
      make_pipeline(primitive(pass), primitive(last), cut, {ranks, 1, 2}, readers_of(evaluation[0]));
  std::vector<std::vector<Table>> states(1, std::vector<Table>(static_cast<std::size_t>(ranks)));
  Table inputs = step.states();
  for (const auto& [state, holders] : training.held)
    if (training.shares.count(state) == 0)
      for (const int c : holders) states[0][static_cast<std::size_t>(c)][state] = inputs.at(state);
  const Table feeds = step.pass_feeds(step.feeds(0), 0);
  inputs.insert(feeds.begin(), feeds.end());
  const Table expected = interpret(whole, inputs);
  const auto got = interpret_pipeline({{}, evaluation, states, [&](int, int) { return feeds; }}, false);
  for (const Table& fetches : got[0])
    for (const auto& [name, value] : expected) EXPECT_EQ(fetches.at(name).as_double(0), value.as_double(0)) << name;
}

TEST(Pipeline, EvaluationGoesThroughTheStagesOfTraining) {
  for (const int ranks : {2, 4}) {
    expect_evaluates_alike(mlp_step(2), ranks);
    expect_evaluates_alike(gpt2_step(2, clipped_sgd()), ranks);
  }
  expect_evaluates_alike(conv_step(2), 2);
}

TEST(Pipeline, ResNetTrainsBitForBitAsOnOneRank) {
  PassedStep step{network("resnet18", {{"width", "4"}, {"classes", "4"}, {"image", "32"}}), job_with(clipped_sgd()), 2,
                  2};
  step.job.batch = 4;
  step.job.batch_norm_group = 2;
  expect_trains_alike(step, pipeline_mesh(2), 1, 0, {}, 1);
}

TEST(Pipeline, LossScalingTrainsBitForBitAsOnOneRank) {
  PassedStep step = mlp_step(4, adamw());
  step.job.precision = DType::f16;
  expect_trains_alike(step, pipeline_mesh(4), 1, 0);
}

}  // namespace
}  // namespace weft
