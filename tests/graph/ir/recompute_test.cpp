// What is made again for distant readers, and what is not.
#include "graph/ir/passes/recompute.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/prune.hpp"
#include "graph/ir/passes/verify.hpp"

namespace weft {
namespace {

constexpr std::int64_t kSide = 128;
const TensorType kMatrix{DType::f32, Shape{kSide, kSide}};

constexpr int kDeep = 8;  ///< contractions that make a reader distant

/// Bytes of values that are read when most of the contractions after them have been made: what a step keeps.
std::int64_t kept_bytes(const Graph& graph) {
  std::vector<int> made(graph.values().size(), 0);
  std::vector<bool> kept(graph.values().size(), false);
  int contractions = 0;
  for (const Node& node : graph.nodes()) {
    for (const ValueId v : node.inputs)
      if (graph.producer(v) != nullptr && graph.producer(v)->op != Op::broadcast &&
          contractions - made[static_cast<std::size_t>(v)] >= kDeep)
        kept[static_cast<std::size_t>(v)] = true;
    contractions += class_of(node.op) == OpClass::contraction ? 1 : 0;
    for (const ValueId v : node.outputs) made[static_cast<std::size_t>(v)] = contractions;
  }
  std::int64_t bytes = 0;
  for (std::size_t v = 0; v < kept.size(); ++v)
    if (kept[v])
      bytes +=
          graph.values()[v].type.shape.elements() * static_cast<std::int64_t>(size_of(graph.values()[v].type.dtype));
  return bytes;
}

/// `x` through many products.
ValueId deep(GraphBuilder& b, ValueId x, ValueId w) {
  for (int i = 0; i < kDeep; ++i) x = b.matmul(x, w);
  return x;
}

std::int64_t count(const Graph& graph, Op op) {
  return std::count_if(graph.nodes().begin(), graph.nodes().end(), [&](const Node& n) { return n.op == op; });
}

/// product -> normalise over rows -> scale -> relu -> products -> sum, and gradients.
Graph normalised_layer() {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kMatrix);
  const ValueId w1 = b.input("w1", InputRole::state, kMatrix), w2 = b.input("w2", InputRole::state, kMatrix);
  const ValueId scale = b.input("scale", InputRole::state, {DType::f32, Shape{kSide}});
  const ValueId h = b.matmul(x, w1);
  const ValueId centred = b.sub(h, b.mean(h, {1}, true));
  const ValueId variance = b.mean(b.mul(centred, centred), {1}, true);
  const ValueId normal = b.mul(centred, b.unary(Op::rsqrt, b.add(variance, b.like(variance, 1e-5))));
  const ValueId y = b.unary(Op::relu, b.mul(normal, scale));
  const ValueId z = deep(b, b.matmul(y, w2), b.input("w3", InputRole::state, kMatrix));
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.mul(z, z));
  const auto grads = gradients(b, loss, {w1, w2, scale});
  b.output("loss", OutputRole::fetch, loss);
  b.output("w1", OutputRole::state, grads[0]);
  b.output("w2", OutputRole::state, grads[1]);
  b.output("scale", OutputRole::state, grads[2]);
  return pruned(std::move(b).take());
}

TEST(Recompute, ANormalisationKeepsItsOperandAndItsResultAndNothingBetween) {
  const Graph before = normalised_layer(), after = pruned(recompute_cheap(before));
  verify_graph(after);
  const std::int64_t matrix = kSide * kSide * 4;
  EXPECT_GT(kept_bytes(before), 3 * matrix);
  EXPECT_LT(kept_bytes(after), 2 * matrix + matrix / 4) << "h and relu's result";
  EXPECT_EQ(count(after, Op::dot_general), count(before, Op::dot_general)) << "contractions are not made again";
  EXPECT_EQ(count(after, Op::reduce_sum), count(before, Op::reduce_sum));
}

TEST(Recompute, ComputesTheSameBits) {
  const Graph before = normalised_layer(), after = recompute_cheap(before);
  std::map<std::string, Tensor> inputs;
  for (const GraphInput& i : before.inputs()) {
    Tensor t(DType::f32, before.type(i.value).shape);
    std::int64_t n = 7;
    for (float& v : t.mutable_values<float>())
      v = static_cast<float>((n = n * 48271 % 2147483647) % 1000) / 1e3f - 0.5f;
    inputs[i.name] = t;
  }
  const auto expected = interpret(before, inputs), actual = interpret(after, inputs);
  for (const auto& [name, value] : expected) EXPECT_TRUE(actual.at(name).identical(value)) << name;
}

TEST(Recompute, TheEndOfAContractionsKernelIsKeptAndNotTheContraction) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kMatrix), w = b.input("w", InputRole::state, kMatrix);
  const ValueId bias = b.input("bias", InputRole::state, {DType::f32, Shape{kSide}});
  const ValueId h = b.add(b.matmul(x, w), bias);
  b.output("y", OutputRole::fetch, b.mul(deep(b, b.unary(Op::tanh, h), w), h));
  const Graph graph = std::move(b).take();
  EXPECT_EQ(recompute_cheap(graph).str(), graph.str());
}

TEST(Recompute, ASumOfTwoThatNobodyElseKeepsStays) {
  GraphBuilder b;
  const ValueId w = b.input("w", InputRole::state, kMatrix), x = b.input("x", InputRole::feed, kMatrix);
  const ValueId p = b.matmul(x, w), q = b.matmul(w, x);
  const ValueId sum = b.mul(p, q);
  b.output("y", OutputRole::fetch, b.mul(deep(b, b.unary(Op::exp, sum), w), sum));
  const Graph graph = std::move(b).take();
  EXPECT_EQ(recompute_cheap(graph).str(), graph.str()) << "keeping both operands would cost more";
}

TEST(Recompute, SmallValuesAndGraphOutputsAreLeftAlone) {
  GraphBuilder b;
  const TensorType small{DType::f32, Shape{8, 8}};
  const ValueId w = b.input("w", InputRole::state, small), x = b.input("x", InputRole::feed, small);
  const ValueId e = b.unary(Op::exp, x);
  b.output("y", OutputRole::fetch, b.mul(deep(b, b.unary(Op::neg, e), w), e));
  const Graph graph = std::move(b).take();
  EXPECT_EQ(recompute_cheap(graph).str(), graph.str());
  const Graph empty;
  EXPECT_EQ(recompute_cheap(empty).str(), empty.str());
}

}  // namespace
}  // namespace weft
