// Steps over meshes of real ranks: lowered, compiled and run, against the interpreter of the unsharded step.
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "graph/lowering/lower.hpp"
#include "graph/partition/choose_cuts.hpp"
#include "graph/partition/zero.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "src/executor/executor.hpp"
#include "tests/comm/mpi/world.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/partition/network_step.hpp"

namespace weft {
namespace {

using namespace test;

/// One rank's Program of a step, with its states.
class RankOfMesh {
 public:
  RankOfMesh(const NetworkStep& step, const Mesh& mesh, const StateCutList& cuts)
      : step_(step),
        mesh_(mesh),
        at_(mesh.coordinates(world().rank())),
        placements_(state_placements(step.graph, mesh, cuts)),
        device_(make_cpu_device({1, CpuIsa::automatic, true})),
        states_(*device_),
        cache_(*device_),
        arena_(*device_),
        groups_(world(), mesh) {
    LoweringOptions options;
    options.role = "test";
    options.mesh = mesh;
    options.rank = world().rank();
    options.cuts = cuts;
    const Program program = lower(step.graph, device_->oracle(), options).program;
    for (const auto& [name, placement] : placements_) states_.add(name, part(name, step.inputs.at(name)));
    arena_.reserve(program.arena_bytes[0], MemorySpace::host);
    executor_.emplace(program, *device_, states_, cache_, arena_, &groups_);
  }

  /// The rank's part of a tensor that is placed like this state; other tensors are whole.
  Tensor part(const std::string& name, const Tensor& whole) const {
    const auto placement = placements_.find(name);
    return placement == placements_.end() ? whole : part_of(whole, placement->second, at_);
  }

  /// One step; its fetches and the states after it.
  Table run(std::int64_t number) {
    const SampleRange range = rank_samples(pass_samples(step_.graph), mesh_, world().rank());
    Table bound;
    for (const GraphInput& i : step_.graph.inputs())
      if (i.role == InputRole::feed)
        bound[i.name] = rows(step_.inputs.at(i.name), range.first, range.count);
      else if (i.role == InputRole::scalar)
        bound[i.name] = step_.inputs.at(i.name);
    bound[kRankSampleOffset] = Tensor::scalar(range.first);
    for (std::size_t a = 0; a < mesh_.axes.size(); ++a)
      bound[coordinate_input(mesh_.axes[a].name)] = Tensor::scalar<std::int64_t>(at_[a]);
    for (const auto& [name, value] : bound)
      if (executor_->has_feed(name)) executor_->bind(name, value);
    executor_->run(number);
    Table results;
    for (const GraphOutput& o : step_.graph.outputs())
      results[o.name] = o.role == OutputRole::state ? states_.read(o.name) : executor_->fetch(o.name);
    return results;
  }

 private:
  const NetworkStep& step_;
  Mesh mesh_;
  std::vector<int> at_;
  std::map<std::string, Placement> placements_;
  std::unique_ptr<Device> device_;
  StateTable states_;
  KernelCache cache_;
  ArenaPool arena_;
  CommunicatorSet groups_;
  std::optional<Executor> executor_;
};

void expect_training_alike(const NetworkStep& step, const Mesh& mesh, const StateCutList& cuts, double tolerance) {
  SCOPED_TRACE(mesh.str());
  RankOfMesh rank(step, mesh, cuts);
  Table inputs = step.inputs;
  for (std::int64_t n = 1; n <= 5; ++n) {
    const Table expected = interpret(step.graph, inputs), actual = rank.run(n);
    for (const GraphOutput& o : step.graph.outputs()) {
      const bool state = o.role == OutputRole::state;
      const Tensor& whole = expected.at(o.name);
      EXPECT_LE(scaled_difference(actual.at(o.name), state ? rank.part(o.name, whole) : whole), tolerance)
          << o.name << " after step " << n << " on rank " << world().rank();
      if (state) inputs[o.name] = whole;
    }
  }
}

CostRates fast_network() {
  CostRates rates;
  rates.network = 1e12;
  rates.latency = 1e-9;
  return rates;
}

/// `cuts`, and those of a stage of ZeRO.
StateCutList with_zero(const Graph& step, const Mesh& mesh, int stage, StateCutList cuts) {
  const StateCutList more = zero_cuts(step, mesh, stage, cuts, 1);
  cuts.insert(cuts.end(), more.begin(), more.end());
  return cuts;
}

const Mesh kMeshesOfFour[] = {mesh_of(2, 2), mesh_of(1, 4), mesh_of(4, 1)};

TEST(MeshExecution, AnMlpTrainsAsOnOneRank) {
  const NetworkStep step = network_step("mlp", {{"hidden", "16,12"}, {"inputs", "9"}, {"classes", "5"}}, 6, Shape{}, 5);
  for (const Mesh& mesh : kMeshesOfFour)
    expect_training_alike(step, mesh, choose_cuts(step.graph, mesh, fast_network()), 1e-4);
}

TEST(MeshExecution, Gpt2TrainsAsOnOneRank) {
  const NetworkStep step = tiny_gpt2_step(true);
  for (const Mesh& mesh : kMeshesOfFour)
    expect_training_alike(step, mesh, choose_cuts(step.graph, mesh, fast_network()), 1e-4);
}

TEST(MeshExecution, PartsOfUnequalExtentAreGatheredAndScattered) {
  const NetworkStep step = tiny_gpt2_step(true);  // 13 words over 2 and over 4
  for (const Mesh& mesh : {mesh_of(2, 2), mesh_of(1, 4)})
    for (const StateCut& cut :
         {StateCut{"transformer.wte.weight", "tensor", 0}, StateCut{"transformer.h.0.mlp.c_fc.weight", "tensor", 0},
          StateCut{"transformer.h.1.attn.c_attn.weight", "tensor", 1}})
      expect_training_alike(step, mesh, {cut}, 1e-4);
}

void expect_stages_train_alike(const NetworkStep& step, const Mesh& mesh, const std::vector<int>& stages) {
  const StateCutList cuts = choose_cuts(step.graph, mesh, fast_network());
  for (const int stage : stages) {
    SCOPED_TRACE("stage " + std::to_string(stage));
    expect_training_alike(step, mesh, with_zero(step.graph, mesh, stage, cuts), 1e-4);
  }
}

TEST(MeshExecution, AnMlpWithStatesInPartsTrainsAsOnOneRank) {
  // 13 units over 4 ranks, 3 samples over 4.
  for (const std::int64_t batch : {6, 3}) {
    const NetworkStep step =
        network_step("mlp", {{"hidden", "16,13"}, {"inputs", "9"}, {"classes", "5"}}, batch, Shape{}, 5, true, "adamw");
    for (const Mesh& mesh : {mesh_of(4, 1), mesh_of(2, 2)}) expect_stages_train_alike(step, mesh, {1, 2, 3});
  }
}

TEST(MeshExecution, Gpt2WithStatesInPartsTrainsAsOnOneRank) {
  expect_stages_train_alike(tiny_gpt2_step(true, "adamw"), mesh_of(4, 1), {1, 3});
  expect_stages_train_alike(tiny_gpt2_step(true, "sgd"), mesh_of(2, 2), {3});
}

/// Sums are taken in rank order whether each rank gets all of one or a part, so no bit may differ; a norm over all
/// gradients would be summed in another order.
TEST(MeshExecution, StatesInPartsChangeNoBit) {
  const Mesh mesh = mesh_of(4, 1);
  for (const NetworkStep& step :
       {network_step("mlp", {{"hidden", "16,13"}, {"inputs", "9"}, {"classes", "5"}}, 6, Shape{}, 5, true, "adamw", 0),
        tiny_gpt2_step(true, "sgd", 0)}) {
    RankOfMesh plain(step, mesh, {});
    std::vector<std::unique_ptr<RankOfMesh>> stages;
    for (const int stage : {1, 2, 3})
      stages.push_back(std::make_unique<RankOfMesh>(step, mesh, with_zero(step.graph, mesh, stage, {})));
    for (std::int64_t n = 1; n <= 4; ++n) {
      const Table expected = plain.run(n);
      for (const auto& stage : stages) {
        const Table actual = stage->run(n);
        for (const GraphOutput& o : step.graph.outputs()) {
          if (o.name == "grad_norm") continue;
          const Tensor& whole = expected.at(o.name);
          EXPECT_TRUE(actual.at(o.name).identical(o.role == OutputRole::state ? stage->part(o.name, whole) : whole))
              << o.name << " after step " << n << " on rank " << world().rank();
        }
      }
    }
  }
}

}  // namespace
}  // namespace weft
