// Narrowed steps, compiled: against the interpreter of the same graph, and what fusion makes of the casts.
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/graph/training/fixture.hpp"
#include "tests/graph/training/models.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft {
namespace {

using namespace test;

constexpr std::int64_t kBatch = 4;

TrainingGraph step_of(const Model& model) {
  JobSpec job = plain_job();
  job.batch = kBatch;
  job.optimizer = optimizer_spec("sgd", {{"lr", 0.05}, {"momentum", 0.9}});
  return build_training_step(model, job, {kBatch, kBatch, Pass::only, {9, 3}, Shape{}});
}

Table inputs_of(const Model& model, const TrainingGraph& step) {
  Table table;
  add_initial_states(table, model, step);
  table["x"] = noise(step.graph.type(step.graph.find_input("x")).shape, 100);
  table["target"] = Tensor::from<std::int64_t>({kBatch}, {0, 1, 2, 3});
  table["sample_offset"] = Tensor::scalar<std::int64_t>(0);
  return table;
}

LoweringOptions in(DType type) {
  LoweringOptions options;
  options.guard = "loss";
  options.compute = type;
  return options;
}

/// A result that lies between two narrow numbers goes either way, and one that is cancelled shows it.
void expect_as_interpreted(const Model& model, DType type, CpuIsa isa) {
  const TrainingGraph step = step_of(model);
  const auto device = make_cpu_device({2, isa, true});
  const Table inputs = inputs_of(model, step);
  const Lowered lowered = lower(step.graph, device->oracle(), in(type));
  const auto expected = interpret(lowered.graph, inputs),
             got = testing::run_compiled(step.graph, inputs, *device, in(type));
  for (const auto& [name, value] : expected)
    for (std::int64_t e = 0; e < value.elements(); ++e)
      EXPECT_NEAR(got.at(name).as_double(e), value.as_double(e), 2e-3 * std::max(1.0, std::abs(value.as_double(e))))
          << name;
}

TEST(NarrowSteps, ComputeWhatTheInterpreterComputesOfTheSameGraph) {
  for (const DType type : {DType::bf16, DType::f16})
    for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline}) {
      SCOPED_TRACE(std::string(name_of(type)) + " " + std::string(name_of(isa)));
      expect_as_interpreted(conv_net(kBatch, 0.3), type, isa);
      expect_as_interpreted(mlp(kBatch), type, isa);
    }
}

TEST(NarrowSteps, WithoutThePassTheNumbersAreThoseOfF32) {
  const Model model = conv_net(kBatch);
  const TrainingGraph step = step_of(model);
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const Table inputs = inputs_of(model, step);
  LoweringOptions without = in(DType::bf16);
  without.without = {"precision"};
  const auto expected = testing::run_compiled(step.graph, inputs, *device, in(DType::f32)),
             got = testing::run_compiled(step.graph, inputs, *device, without);
  for (const auto& [name, value] : expected) EXPECT_TRUE(got.at(name).identical(value)) << name;
}

/// Four affine layers with GELU between, and a residual, wide enough for the library's kernels.
Graph perceptron() {
  GraphBuilder b;
  const Shape square{128, 128};
  ValueId x = b.input("x", InputRole::feed, {DType::f32, square});
  for (int i = 0; i < 4; ++i) {
    const std::string n = std::to_string(i);
    const ScopedName name(b, "layer" + n);
    const ValueId w = b.input("w" + n, InputRole::state, {DType::f32, square});
    const ValueId bias = b.input("b" + n, InputRole::state, {DType::f32, Shape{128}});
    const ValueId y = b.add(b.matmul(b.one(Op::gelu, {x}, {{"approximate", std::string("none")}}), w), bias);
    x = i == 0 ? y : b.add(y, x);
  }
  b.output("y", OutputRole::fetch, b.reduce(Op::reduce_sum, x, {1}));
  return std::move(b).take();
}

TEST(NarrowSteps, NoWidenedCopyIsWrittenAndEpiloguesStayInTheContractionsKernels) {
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const Lowered lowered = lower(perceptron(), device->oracle(), in(DType::bf16));
  int fused = 0;
  for (const Instruction& i : lowered.program.instructions) {
    const KernelSpec& kernel = lowered.program.kernels.at(static_cast<std::size_t>(i.kernel));
    if (kernel.implementation == "onednn.matmul" && kernel.body.inputs().size() > 2) ++fused;
    for (const Node& n : kernel.body.nodes()) {
      if (n.op != Op::cast) continue;
      for (const GraphOutput& o : kernel.body.outputs())
        EXPECT_FALSE(o.value == n.outputs[0] && kernel.body.type(o.value).dtype == DType::f32) << i.name;
    }
  }
  EXPECT_EQ(fused, 4) << lowered.program.str();
}

TEST(NarrowSteps, AWideningOfABroadcastThatIsNeededInMemoryFindsIt) {
  GraphBuilder b;
  const Tensor row = noise({1, 3}, 5).cast(DType::bf16);
  const ValueId x = b.input("x", InputRole::feed, {DType::bf16, row.shape()});
  const ValueId wide = b.cast(b.broadcast_in(x, {2, 4, 3}, {0, 2}), DType::f32);
  b.output("moved", OutputRole::fetch, b.transpose(wide, {2, 0, 1}));
  b.output("sum", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(wide, wide), {1}));
  const Graph graph = std::move(b).take();
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const auto expected = interpret(graph, {{"x", row}}), got = testing::run_compiled(graph, {{"x", row}}, *device);
  for (const auto& [name, value] : expected) EXPECT_TRUE(got.at(name).identical(value)) << name;
}

}  // namespace
}  // namespace weft
