// Memory of a rank in each stage of ZeRO, from the Program: states in parts, and the arena.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ir/passes/attention.hpp"
#include "graph/ir/passes/simplify.hpp"
#include "graph/lowering/lower.hpp"
#include "graph/models/models.hpp"
#include "graph/onnx/import.hpp"
#include "graph/partition/zero.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"

namespace weft {
namespace {

using namespace test;

struct Bytes {
  double parameters = 0, gradients = 0, optimizer = 0, rest = 0, arena = 0;
  double total() const { return parameters + gradients + optimizer + rest + arena; }
};

Graph gpt2_pass(std::int64_t samples, Pass pass) {
  Model model = onnx::import_model(build_model("gpt2", {{"vocabulary", "512"},
                                                        {"width", "256"},
                                                        {"heads", "8"},
                                                        {"layers", "12"},
                                                        {"sequence", "32"},
                                                        {"positions", "32"}}),
                                   {.symbols = {{"N", samples}}});
  model.forward = with_attention(model.forward);
  JobSpec job = plain_job();
  job.batch = samples * (pass == Pass::only ? 1 : 2);
  job.optimizer = optimizer_spec("adamw", {{"lr", 0.001}, {"clip_norm", 1.0}});
  return simplify(build_training_step(model, job, {samples, job.batch, pass, {9, 3}, Shape{32}}).graph);
}

/// Of rank 0, in passes of two samples a rank.
Bytes planned(int ranks, int stage, const std::vector<Pass>& passes) {
  const auto device = make_cpu_device({1, CpuIsa::automatic, true});
  const Mesh mesh = data_mesh(ranks);
  Bytes bytes;
  StateCutList cuts;
  for (const Pass pass : passes) {  // the last one of a step has all states
    const Graph step = gpt2_pass(2 * ranks, pass);
    if (cuts.empty()) cuts = zero_cuts(step, mesh, stage, {});
    const auto placed = state_placements(step, mesh, cuts);
    LoweringOptions options;
    options.role = "test";
    options.mesh = mesh;
    options.cuts = cuts;
    const Program program = lower(step, device->oracle(), options).program;
    bytes.arena = std::max(bytes.arena, static_cast<double>(program.arena_bytes[0]));
    if (pass != passes.front()) continue;
    for (const auto& [state, placement] : placed) {
      const TensorType& type = step.type(step.find_input(state));
      double size = static_cast<double>(type.shape.elements()) * static_cast<double>(size_of(type.dtype));
      if (const AxisPlacement& p = placement.axes[0]; is_split(p))
        size *= static_cast<double>(p.extents[0]) / static_cast<double>(p.block_extent());
      (state.starts_with("optimizer/")    ? bytes.optimizer
       : state.starts_with("accumulate/") ? bytes.gradients
       : type.shape.rank() > 0            ? bytes.parameters
                                          : bytes.rest) += size;
    }
  }
  return bytes;
}

/// The paper's sum: parameters, gradients and optimiser states, divided by the ranks as the stage says, and the
/// activations. Gradients are reduce-scattered in the first stage already.
double formula(const Bytes& plain, double activations, int stage, int ranks) {
  const auto divided = [&](double bytes, int from) { return stage >= from ? bytes / ranks : bytes; };
  return divided(plain.parameters, 3) + divided(plain.parameters, 1) + divided(plain.optimizer, 1) + plain.rest +
         activations;
}

TEST(ZeroMemory, IsThatOfTheFormula) {
  const Bytes plain = planned(2, 0, {Pass::only});
  EXPECT_GT(plain.arena, plain.parameters);  // clipping needs all gradients at once
  // A pass that adds its gradients to states holds nothing else.
  const double activations = planned(2, 0, {Pass::first}).arena;
  for (const int ranks : {2, 4, 8})
    for (const int stage : {1, 2, 3}) {
      const Bytes b = planned(ranks, stage, {Pass::only});
      const double expected = formula(plain, activations, stage, ranks);
      fmt::print("{} ranks, stage {}: {:.2f} MB, {:.3f} of the formula; arena {:.2f}, states {:.2f}\n", ranks, stage,
                 b.total() / 1e6, b.total() / expected, b.arena / 1e6, (b.total() - b.arena) / 1e6);
      EXPECT_NEAR(b.total() / expected, 1, 0.1) << ranks << " ranks, stage " << stage;
    }
}

TEST(ZeroMemory, AccumulatorsLieInPartsFromTheSecondStageOn) {
  const std::vector<Pass> passes{Pass::last, Pass::first};
  const Bytes plain = planned(4, 0, passes);
  for (const int stage : {1, 2, 3}) {
    const Bytes b = planned(4, stage, passes);
    fmt::print("passes, stage {}: states {:.2f} MB, arena {:.2f}; plain {:.2f}, {:.2f}\n", stage,
               (b.total() - b.arena) / 1e6, b.arena / 1e6, (plain.total() - plain.arena) / 1e6, plain.arena / 1e6);
    EXPECT_NEAR(b.gradients, plain.gradients / (stage >= 2 ? 4 : 1), 0.05 * plain.gradients);
    EXPECT_LT(b.arena, plain.arena);
  }
}

}  // namespace
}  // namespace weft
