// Pipelined steps on real ranks: cut, lowered, compiled and run, against one rank's passes, interpreted.
#include <gtest/gtest.h>

#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "src/executor/pipeline_executor.hpp"
#include "tests/comm/mpi/world.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/pipeline/pipelined_step.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

/// One rank's part of a pipelined step, with its states.
class RankOfPipeline {
 public:
  RankOfPipeline(const PassedStep& step, const Mesh& mesh, int chunks, const StateCutList& cuts, DType compute)
      : step_(step),
        inner_(without_pipeline(mesh)),
        inner_rank_(rank_without_pipeline(mesh, world().rank())),
        coordinate_(pipeline_coordinate(mesh, world().rank())),
        device_(make_cpu_device({1, CpuIsa::automatic, true})),
        states_(*device_),
        cache_(*device_),
        arena_(*device_),
        groups_(world(), mesh) {
    make(mesh, chunks, cuts, compute);
    std::map<int, Program> programs;
    for (const int s : segments_of(pipeline_, coordinate_)) {
      LoweringOptions options;
      options.role = pipeline_.segments[static_cast<std::size_t>(s)].name;
      programs[s] = lower(pipeline_.segments[static_cast<std::size_t>(s)].graph, device_->oracle(), options).program;
      arena_.reserve(programs[s].arena_bytes[0], MemorySpace::host);
    }
    const Table initial = step.states();
    for (const std::string& name : states_of(pipeline_, coordinate_)) states_.add(name, part(name, initial.at(name)));
    executor_.emplace(pipeline_, coordinate_, std::move(programs), *device_, states_, cache_, arena_, groups_);
  }

  Tensor part(const std::string& name, const Tensor& whole) const {
    const auto placement = placements_.find(name);
    return placement == placements_.end() ? whole : part_of(whole, placement->second, inner_.coordinates(inner_rank_));
  }

  bool run(std::int64_t number, const Table& whole, bool guarded = true) {
    std::vector<Table> feeds;
    const SampleRange range = rank_samples(step_.pass_samples, inner_, inner_rank_);
    for (int j = 0; j < step_.micro_batches; ++j) {
      Table& table = feeds.emplace_back(step_.pass_feeds(whole, j));
      for (auto& [name, value] : table)
        if (value.shape().rank() > 0) value = rows(value, range.first, range.count);
      table[kRankSampleOffset] = Tensor::scalar(range.first);
      for (std::size_t a = 0; a < inner_.axes.size(); ++a)
        table[coordinate_input(inner_.axes[a].name)] = Tensor::scalar<std::int64_t>(inner_.coordinates(inner_rank_)[a]);
    }
    const auto bind = [&](Executor& segment, int micro_batch) {
      for (const auto& [name, value] : feeds[static_cast<std::size_t>(std::max(micro_batch, 0))])
        if (segment.has_feed(name)) segment.bind(name, value);
    };
    return executor_->run(number, bind, guarded);
  }

  Tensor fetch(const std::string& name) const { return executor_->fetch(name); }
  std::set<std::string> states() const { return states_of(pipeline_, coordinate_); }
  Tensor state(const std::string& name) const { return states_.read(name); }

 private:
  void make(const Mesh& mesh, int chunks, const StateCutList& cuts, DType compute) {
    const Graph pass = step_.graph(Pass::middle), last = step_.graph(Pass::last);
    placements_ = state_placements(last, inner_, cuts);
    LoweringOptions options;
    options.mesh = inner_;
    options.rank = inner_rank_;
    options.cuts = settled_cuts(inner_, placements_);
    options.without = {"accumulate"};
    LoweringOptions of_pass = options;
    of_pass.compute = compute;
    const PipelineShape shape{mesh.axis_size(kPipelineAxis), chunks, static_cast<int>(step_.micro_batches)};
    pipeline_ = make_pipeline(lower_graph(pass, device_->oracle(), of_pass, "recompute"),
                              lower_graph(last, device_->oracle(), options, "cse"),
                              choose_stages(pass, {shape.ranks, shape.chunks, shape.micro_batches}), shape);
  }

  PassedStep step_;
  Mesh inner_;
  int inner_rank_, coordinate_;
  std::map<std::string, Placement> placements_;
  Pipeline pipeline_;
  std::unique_ptr<Device> device_;
  StateTable states_;
  KernelCache cache_;
  ArenaPool arena_;
  CommunicatorSet groups_;
  std::optional<PipelineExecutor> executor_;
};

void expect_training_alike(const PassedStep& step, const Mesh& mesh, int chunks, const StateCutList& cuts = {},
                           double tolerance = 1e-4) {
  SCOPED_TRACE(mesh.str());
  RankOfPipeline rank(step, mesh, chunks, cuts, DType::f32);
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

TEST(PipelineExecution, ALossThatIsNotFiniteChangesNothingOnAnyRank) {
  const PassedStep step = mlp_step(4);
  RankOfPipeline rank(step, all_ranks(), 1, {}, DType::f32);
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
