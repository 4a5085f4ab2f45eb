// Pipelined steps on real ranks: cut, lowered, compiled and run, against one rank's passes, interpreted.
#include <gtest/gtest.h>

#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/comm/mpi/world.hpp"
#include "tests/distributed/rank_of_pipeline.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

void expect_training_alike(const PassedStep& step, const Mesh& mesh, int chunks, const StateCutList& cuts = {},
                           double tolerance = 1e-4) {
  SCOPED_TRACE(mesh.str());
  RankOfPipeline rank(world(), step, mesh, chunks, cuts);
  Table whole = step.states();
  for (int n = 0; n < 4; ++n) {
    const Table feeds = step.feeds(n), expected = step.run(whole, feeds);
    ASSERT_TRUE(rank.run(n + 1, feeds));
    for (const auto& [name, value] : expected)
      EXPECT_LE(scaled_difference(rank.fetch(name), value), tolerance) << name << " after step " << n;
    for (const std::string& name : rank.states()) {
      if (name.starts_with(kAccumulated)) continue;
      EXPECT_LE(scaled_difference(rank.state(name), rank.part(name, whole.at(name))), tolerance)
          << name << " after step " << n << " on rank " << world().rank();
    }
  }
}

JobSpec job_with(const OptimizerSpec& optimizer) {
  JobSpec job = plain_job();
  job.optimizer = optimizer;
  job.metrics = {"accuracy"};
  return job;
}

OptimizerSpec sgd() { return optimizer_spec("sgd", {{"lr", 0.1}, {"momentum", 0.9}, {"clip_norm", 1.0}}); }

PassedStep mlp_step(std::int64_t micro_batches) {
  PassedStep step{network("mlp", {{"hidden", "9,8,7,6,9,8,7"}, {"inputs", "6"}, {"classes", "4"}}), job_with(sgd()), 2,
                  micro_batches};
  step.job.batch = 2 * micro_batches;
  return step;
}

PassedStep gpt2_step(std::int64_t micro_batches) {
  PassedStep step{network("gpt2", {{"vocabulary", "13"},
                                   {"width", "16"},
                                   {"heads", "4"},
                                   {"layers", "2"},
                                   {"sequence", "5"},
                                   {"positions", "8"},
                                   {"dropout", "0.1"}}),
                  job_with(sgd()),
                  2,
                  micro_batches,
                  Shape{5},
                  13};
  step.job.batch = 2 * micro_batches;
  return step;
}

Mesh mesh(int data, int tensor, int pipeline) { return {{{"data", data}, {"tensor", tensor}, {"pipeline", pipeline}}}; }

Mesh all_ranks() { return mesh(1, 1, world().size()); }

TEST(PipelineExecution, AnMlpTrainsAsOnOneRank) {
  for (const int m : {1, 2, 4, 8}) expect_training_alike(mlp_step(m), all_ranks(), 1);
}

TEST(PipelineExecution, ChunksTrainAsOnOneRank) { expect_training_alike(mlp_step(2 * world().size()), all_ranks(), 2); }

TEST(PipelineExecution, Gpt2WithTiedWeightsAndDropoutTrainsAsOnOneRank) {
  for (const int m : {2, 4}) expect_training_alike(gpt2_step(m), all_ranks(), 1);
}

TEST(PipelineExecution, ResNetTrainsAsOnOneRank) {
  PassedStep step{network("resnet18", {{"width", "4"}, {"classes", "4"}, {"image", "64"}}), job_with(sgd()), 4, 2};
  step.job.batch = 8;
  step.job.batch_norm_group = 4;
  expect_training_alike(step, all_ranks(), 1, {}, 1e-3);
}

TEST(PipelineExecution, MeshesOfThreeAxesTrainAsOnOneRank) {
  if (world().size() < 4) GTEST_SKIP() << "four ranks";
  expect_training_alike(gpt2_step(2), mesh(2, 1, 2), 1);
  const StateCutList cuts{{"transformer.h.0.mlp.c_fc.weight", "tensor", 1},
                          {"transformer.h.1.attn.c_attn.weight", "tensor", 1, 3},
                          {"transformer.wte.weight", "tensor", 0}};
  expect_training_alike(gpt2_step(4), mesh(1, 2, 2), 1, cuts);
}

TEST(PipelineExecution, SixteenBitsAreRoundedWhereOneProgramRoundsThem) {
  PassedStep step = gpt2_step(2), narrow = step;
  const std::unique_ptr<Device> device = make_cpu_device({1, CpuIsa::automatic, true});
  LoweringOptions options;
  options.compute = DType::bf16;
  narrow.rewrite = [&](const Graph& g) { return lower_graph(g, device->oracle(), options, "precision"); };
  RankOfPipeline rank(world(), step, all_ranks(), 1, {}, DType::bf16);
  Table whole = step.states();
  const Table feeds = step.feeds(0), expected = narrow.run(whole, feeds);
  ASSERT_TRUE(rank.run(1, feeds));
  EXPECT_LE(scaled_difference(rank.fetch("loss"), expected.at("loss")), 1e-4);
  EXPECT_LE(scaled_difference(rank.fetch("grad_norm"), expected.at("grad_norm")), 1e-2);
  bool narrowed = false;
  for (const PipelineBuffer& b : rank.pipeline().scripts[0].buffers) narrowed |= b.type.dtype == DType::bf16;
  EXPECT_TRUE(narrowed);
}

TEST(PipelineExecution, ALossThatIsNotFiniteChangesNothingOnAnyRank) {
  const PassedStep step = mlp_step(4);
  RankOfPipeline rank(world(), step, all_ranks(), 1);
  Table feeds = step.feeds(0);
  EXPECT_TRUE(rank.run(1, feeds));
  Table before;
  for (const std::string& name : rank.states()) before[name] = rank.state(name);
  for (float& v : feeds.at("input").mutable_values<float>()) v = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(rank.run(2, feeds));
  for (const auto& [name, value] : before) {
    if (name.starts_with(kAccumulated)) continue;
    EXPECT_EQ(scaled_difference(rank.state(name), value), 0) << name;
  }
  EXPECT_TRUE(rank.run(3, step.feeds(1)));
}

}  // namespace
}  // namespace weft
