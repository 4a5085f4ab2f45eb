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
  Model model = onnx::import_model(build_model("gpt2", {{"vocabulary", "1000"},
                                                        {"width", "256"},
                                                        {"heads", "8"},
                                                        {"layers", "6"},
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
    if (std::getenv("DUMP")) fmt::print("{}", program.str());
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

TEST(ZeroMemory, Print) {
  for (const std::vector<Pass>& passes : {std::vector{Pass::only}, std::vector{Pass::last, Pass::first}}) {
    const Bytes whole = planned(2, 0, passes);
    for (const int ranks : std::getenv("DUMP") ? std::vector{2} : std::vector{2, 8})
      for (const int stage : std::getenv("DUMP") ? std::vector{std::atoi(std::getenv("DUMP"))} : std::vector{0, 1, 2, 3}) {
        const Bytes b = planned(ranks, stage, passes);
        const double n = ranks, activations = whole.arena;
        const double formula = whole.parameters / (stage >= 3 ? n : 1) + whole.gradients / (stage >= 2 ? n : 1) +
                               whole.optimizer / (stage >= 1 ? n : 1) + whole.rest + activations;
        fmt::print("{} ranks stage {}: p {:.0f} g {:.0f} o {:.0f} arena {:.0f} total {:.0f} formula {:.0f} ratio {:.3f}\n", ranks,
                   stage, b.parameters / 1e3, b.gradients / 1e3, b.optimizer / 1e3, b.arena / 1e3, b.total() / 1e3, formula / 1e3, b.total() / formula);
      }
  }
}

}  // namespace
}  // namespace weft
