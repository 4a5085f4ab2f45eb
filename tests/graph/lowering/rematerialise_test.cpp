// What is made twice, that it is the same both times, and that it needs less memory.
#include "graph/lowering/rematerialise.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/prune.hpp"
#include "graph/ir/passes/verify.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft {
namespace {

using lowering::rematerialise;
using lowering::Rematerialised;

constexpr std::int64_t kRows = 512, kSide = 128;
constexpr int kDepth = 8;
const TensorType kWeight{DType::f32, Shape{kSide, kSide}};

/// Layers of product -> tanh(x) * scale, with a residual around every other one, a loss and the new weights. What a
/// product reads is what its weight's gradient reads.
Graph step(bool residuals) {
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{kRows, kSide}});
  std::vector<ValueId> weights;
  for (int i = 0; i < kDepth; ++i) {
    weights.push_back(b.input("w" + std::to_string(i), InputRole::state, kWeight));
    const ValueId y = b.mul(b.unary(Op::tanh, b.matmul(x, weights.back())), b.full(DType::f32, {kRows, kSide}, 1.25));
    x = residuals && i % 2 == 1 ? b.add(x, y) : y;
  }
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.mul(x, x));
  const std::vector<ValueId> grads = gradients(b, loss, weights);
  b.output("loss", OutputRole::fetch, loss);
  for (int i = 0; i < kDepth; ++i) {
    const ValueId w = weights[static_cast<std::size_t>(i)];
    b.output("w" + std::to_string(i), OutputRole::state,
             b.sub(w, b.mul(grads[static_cast<std::size_t>(i)], b.like(w, 1e-4))));
  }
  return pruned(std::move(b).take());
}

std::map<std::string, Tensor> inputs_of(const Graph& graph) {
  std::map<std::string, Tensor> inputs;
  std::int64_t n = 11;
  for (const GraphInput& i : graph.inputs()) {
    Tensor t(DType::f32, graph.type(i.value).shape);
    for (float& v : t.mutable_values<float>())
      v = (static_cast<float>((n = n * 48271 % 2147483647) % 1000) / 1e3f - 0.5f) / 4;
    inputs[i.name] = t;
  }
  return inputs;
}

std::int64_t count(const Graph& graph, Op op) {
  return std::count_if(graph.nodes().begin(), graph.nodes().end(), [&](const Node& n) { return n.op == op; });
}

void expect_identical(const std::map<std::string, Tensor>& a, const std::map<std::string, Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_TRUE(b.at(name).identical(value)) << name;
}

class Rematerialise : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = make_cpu_device({2, CpuIsa::automatic, true});
  const lowering::RematerialisationOptions free_{100, 1 << 10};
};

TEST_F(Rematerialise, WhatIsMadeAgainHasTheSameBitsAndNoContractionIsRepeated) {
  for (const bool residuals : {false, true}) {
    const Graph before = step(residuals);
    const Rematerialised after = rematerialise(before, device_->oracle(), free_);
    verify_graph(after.graph);
    EXPECT_FALSE(after.kernels.empty());
    EXPECT_GT(count(after.graph, Op::mul), count(before, Op::mul));
    EXPECT_EQ(count(after.graph, Op::dot_general), count(before, Op::dot_general));
    const auto inputs = inputs_of(before);
    expect_identical(interpret(before, inputs), interpret(after.graph, inputs));
  }
}

TEST_F(Rematerialise, EachKernelIsWholeAndReadsNothingThatAnotherMakesAgain) {
  const Rematerialised r = rematerialise(step(true), device_->oracle(), free_);
  std::set<NodeId> again;
  for (const auto& kernel : r.kernels) again.insert(kernel.begin(), kernel.end());
  for (const auto& kernel : r.kernels)
    for (const NodeId n : kernel)
      for (const ValueId v : r.graph.node(n).inputs) {
        const NodeId maker = r.graph.value(v).producer;
        const bool outside = std::find(kernel.begin(), kernel.end(), maker) == kernel.end();
        EXPECT_FALSE(maker != kNone && outside && again.count(maker) != 0);
      }
}

TEST_F(Rematerialise, WithoutTimeToSpendOrForSmallResultsNothingChanges) {
  const Graph graph = step(true);
  EXPECT_EQ(rematerialise(graph, device_->oracle(), {0, 1 << 10}).graph.str(), graph.str());
  EXPECT_EQ(rematerialise(graph, device_->oracle(), {100, 1 << 30}).graph.str(), graph.str());
  EXPECT_TRUE(rematerialise(Graph{}, device_->oracle(), free_).kernels.empty());
}

TEST_F(Rematerialise, AnOutputOfTheGraphIsKept) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{kRows, kSide}});
  const ValueId w = b.input("w", InputRole::state, kWeight);
  const ValueId y = b.unary(Op::tanh, b.matmul(x, w));
  ValueId z = y;
  for (int i = 0; i < kDepth; ++i) z = b.matmul(z, w);
  b.output("y", OutputRole::fetch, y);
  b.output("z", OutputRole::fetch, b.mul(z, y));
  const Graph graph = std::move(b).take();
  EXPECT_TRUE(rematerialise(graph, device_->oracle(), free_).kernels.empty());
}

/// Wide enough that the pass thinks it worth it as it runs in training.
TEST_F(Rematerialise, ACompiledStepNeedsLessMemoryAndKeepsItsBits) {
  constexpr std::int64_t kImages = 4, kChannels = 32, kPixels = 56;
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{kImages, kChannels, kPixels, kPixels}});
  std::vector<ValueId> weights;
  for (int i = 0; i < kDepth; ++i) {
    weights.push_back(
        b.input("w" + std::to_string(i), InputRole::state, {DType::f32, Shape{kChannels, kChannels, 3, 3}}));
    ConvWindow window;
    window.strides = window.dilations = {1, 1};
    window.pads_low = window.pads_high = {1, 1};
    const ValueId h = b.conv(x, weights.back(), window);
    const ValueId centred = b.sub(h, b.mean(h, {0, 2, 3}, true));
    const ValueId variance = b.mean(b.mul(centred, centred), {0, 2, 3}, true);
    x = b.unary(Op::relu, b.mul(centred, b.unary(Op::rsqrt, b.add(variance, b.like(variance, 1e-5)))));
  }
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.mul(x, x));
  const std::vector<ValueId> grads = gradients(b, loss, weights);
  b.output("loss", OutputRole::fetch, loss);
  for (int i = 0; i < kDepth; ++i)
    b.output("w" + std::to_string(i), OutputRole::state, grads[static_cast<std::size_t>(i)]);
  const Graph graph = pruned(std::move(b).take());
  const auto inputs = inputs_of(graph);
  LoweringOptions without;
  without.without = {"rematerialise"};
  testing::CompiledGraph kept(graph, inputs, *device_, without), again(graph, inputs, *device_);
  EXPECT_LT(again.lowered().program.arena_bytes[0], kept.lowered().program.arena_bytes[0]);
  again.fill_arena(0x7f);
  expect_identical(kept.run(inputs), again.run(inputs));
}

/// What is made again of a 16-bit operand widens it again: widened, it would need more memory than what is freed.
TEST_F(Rematerialise, AStepInBf16KeepsOperandsOfCopiesNarrow) {
  constexpr std::int64_t kPositions = 2048, kInside = 512;
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{kPositions, kSide}});
  std::vector<ValueId> weights;
  const auto product = [&](ValueId of, std::int64_t columns) {
    weights.push_back(
        b.input("w" + std::to_string(weights.size()), InputRole::state, {DType::f32, Shape{b.shape(of)[1], columns}}));
    return b.matmul(of, weights.back());
  };
  for (int i = 0; i < kDepth; ++i)
    x = b.add(x, product(b.one(Op::gelu, {product(x, kInside)}, {{"approximate", "tanh"}}), kSide));
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.mul(x, x));
  const std::vector<ValueId> grads = gradients(b, loss, weights);
  b.output("loss", OutputRole::fetch, loss);
  for (std::size_t i = 0; i < weights.size(); ++i)
    b.output("w" + std::to_string(i), OutputRole::state, b.sub(weights[i], b.mul(grads[i], b.like(weights[i], 1e-4))));
  const Graph graph = pruned(std::move(b).take());
  const auto inputs = inputs_of(graph);
  LoweringOptions with, without;
  with.compute = without.compute = DType::bf16;
  without.without = {"rematerialise"};
  testing::CompiledGraph kept(graph, inputs, *device_, without), again(graph, inputs, *device_, with);
  // Two layers' GELUs at least, of bf16.
  EXPECT_LE(again.lowered().program.arena_bytes[0],
            kept.lowered().program.arena_bytes[0] - 2 * 2 * kPositions * kInside);
  expect_identical(kept.run(inputs), again.run(inputs));
}

}  // namespace
}  // namespace weft
