// Segments of the forward pass that run again in the backward pass: the same values, more products, less memory.
#include "graph/lowering/segments.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/prune.hpp"
#include "graph/ir/passes/verify.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/graph/partition/network_step.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft {
namespace {

using lowering::recompute_segments;
using test::NetworkStep;
using test::Table;

constexpr std::int64_t kSamples = 64, kWidth = 48;

std::int64_t count_of(const Graph& graph, Op op) {
  return std::count_if(graph.nodes().begin(), graph.nodes().end(), [&](const Node& n) { return n.op == op; });
}

/// `depth` layers of product, normalisation over samples, and tanh; with a dropout mask from `seed` if `dropout`.
Graph layers(int depth, bool dropout) {
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{kSamples, kWidth}});
  const ValueId seed = b.input("seed", InputRole::state, {DType::i64, Shape{}});
  const ValueId step = b.input("step", InputRole::state, {DType::i64, Shape{}});
  const ValueId offset = b.input("offset", InputRole::scalar, {DType::i64, Shape{}});
  std::vector<ValueId> weights;
  for (int i = 0; i < depth; ++i) {
    weights.push_back(b.input("w" + std::to_string(i), InputRole::state, {DType::f32, Shape{kWidth, kWidth}}));
    const ValueId h = b.matmul(x, weights.back());
    const ValueId centred = b.sub(h, b.mean(h, {0}, true));
    const ValueId variance = b.mean(b.mul(centred, centred), {0}, true);
    x = b.unary(Op::tanh, b.mul(centred, b.unary(Op::rsqrt, b.add(variance, b.like(variance, 1e-5)))));
    if (dropout) {
      const ValueId bits =
          b.one(Op::random_bits, {seed, step, offset},
                {{"id", std::int64_t{i}}, {"shape", b.shape(x).extents()}, {"sample_dim", std::int64_t{0}}});
      const ValueId keep = b.binary(Op::greater_equal, bits, b.full(DType::u32, b.shape(x), 1e9));
      x = b.select(keep, x, b.like(x, 0));
    }
  }
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.mul(x, x));
  const std::vector<ValueId> grads = gradients(b, loss, weights);
  b.output("loss", OutputRole::fetch, loss);
  for (std::size_t i = 0; i < weights.size(); ++i)
    b.output("w" + std::to_string(i), OutputRole::state, b.sub(weights[i], b.mul(grads[i], b.like(weights[i], 1e-2))));
  b.output("step", OutputRole::state, b.add(step, b.like(step, 1)));
  return pruned(std::move(b).take());
}

Table inputs_of(const Graph& graph) {
  Table inputs;
  std::int64_t n = 11;
  for (const GraphInput& i : graph.inputs()) {
    const TensorType& type = graph.type(i.value);
    Tensor t(type.dtype, type.shape);
    if (type.dtype == DType::f32)
      for (float& v : t.mutable_values<float>())
        v = static_cast<float>((n = n * 48271 % 2147483647) % 1000) / 1e3f - 0.5f;
    inputs[i.name] = t;
  }
  return inputs;
}

void expect_identical(const Table& a, const Table& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_TRUE(b.at(name).identical(value)) << name;
}

TEST(Segments, RunAgainWithTheSameBits) {
  for (const bool dropout : {false, true}) {
    const Graph before = layers(12, dropout), after = recompute_segments(before);
    verify_graph(after);
    EXPECT_GT(count_of(after, Op::after), 0);
    EXPECT_GT(count_of(after, Op::dot_general), count_of(before, Op::dot_general));
    EXPECT_LT(count_of(after, Op::dot_general), count_of(before, Op::dot_general) + 12);
    EXPECT_EQ(count_of(after, Op::random_bits) > count_of(before, Op::random_bits), dropout);
    expect_identical(interpret(before, inputs_of(before)), interpret(after, inputs_of(before)));
  }
}

TEST(Segments, NetworksKeepTheirBits) {
  const NetworkStep steps[] = {
      test::network_step("mlp", {{"hidden", "16,12,16,12"}, {"inputs", "9"}, {"classes", "5"}}, 6, Shape{}, 5),
      test::network_step("resnet18", {{"classes", "5"}, {"image", "32"}, {"width", "8"}}, 4, Shape{}, 5),
      test::network_step("unet", {{"classes", "2"}, {"image", "32"}, {"widths", "4,8,16"}}, 2, Shape{32, 32}, 2),
      test::tiny_gpt2_step(true), test::tiny_gpt2_step(false)};
  int changed = 0;
  for (const NetworkStep& step : steps) {
    const Graph after = recompute_segments(step.graph);
    verify_graph(after);
    changed += count_of(after, Op::after) > 0 ? 1 : 0;
    expect_identical(interpret(step.graph, step.inputs), interpret(after, step.inputs));
  }
  EXPECT_GE(changed, 3);
}

TEST(Segments, WhereNothingIsSavedTheStepStaysAsItIs) {
  const Graph one = layers(1, false);
  EXPECT_EQ(recompute_segments(one).str(), one.str());
  EXPECT_EQ(recompute_segments(Graph{}).str(), Graph{}.str());
}

class CompiledSegments : public ::testing::TestWithParam<DType> {};

TEST_P(CompiledSegments, NeedLessMemoryAndGiveTheSameLosses) {
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  for (const bool dropout : {false, true}) {
    const Graph graph = layers(24, dropout);
    const Table inputs = inputs_of(graph);
    LoweringOptions options;
    options.compute = GetParam();
    testing::CompiledGraph plain(graph, inputs, *device, options);
    options.recompute = Recompute::full;
    testing::CompiledGraph again(graph, inputs, *device, options);
    EXPECT_LT(again.lowered().program.arena_bytes[0],
              0.75 * static_cast<double>(plain.lowered().program.arena_bytes[0]));
    for (int step = 1; step <= 3; ++step) {
      again.fill_arena(0xff);
      expect_identical(plain.run(inputs, step), again.run(inputs, step));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(In, CompiledSegments, ::testing::Values(DType::f32, DType::bf16),
                         [](const auto& type) { return std::string(name_of(type.param)); });

}  // namespace
}  // namespace weft
