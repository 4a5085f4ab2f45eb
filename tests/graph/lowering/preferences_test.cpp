// Orders of memory chosen for a whole graph: the minimum cut against all choices, and what it makes of convolutions.
#include "graph/lowering/preferences.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/min_cut.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft {
namespace {

using lowering::with_preferred_layouts;

TEST(LabelChoices, TheChosenLabelsCostAsLittleAsAnyOthers) {
  std::mt19937 dice(7);
  const auto draw = [&] { return static_cast<double>(dice() % 100); };
  for (int round = 0; round < 50; ++round) {
    constexpr unsigned kThings = 7;
    struct Pair {
      unsigned a, b;
      double cost[2][2];
    };
    std::vector<Pair> pairs;
    std::vector<std::array<double, 2>> alone(kThings);
    LabelChoice choice(kThings);
    for (unsigned i = 0; i < kThings; ++i) {
      alone[i] = {draw(), draw()};
      choice.add(i, alone[i][0], alone[i][1]);
    }
    for (unsigned a = 0; a < kThings; ++a)
      for (unsigned b = a + 1; b < kThings; ++b) {
        if (dice() % 2 == 0) continue;
        Pair p{a, b, {{draw(), draw()}, {draw(), draw()}}};
        p.cost[0][1] += std::max(0.0, p.cost[0][0] + p.cost[1][1] - p.cost[0][1] - p.cost[1][0]);
        choice.add(a, b, p.cost);
        pairs.push_back(p);
      }
    const auto cost_of = [&](unsigned labels) {
      double cost = 0;
      for (unsigned i = 0; i < kThings; ++i) cost += alone[i][labels >> i & 1];
      for (const Pair& p : pairs) cost += p.cost[labels >> p.a & 1][labels >> p.b & 1];
      return cost;
    };
    unsigned chosen = 0;
    const std::vector<bool> best = choice.best();
    for (unsigned i = 0; i < kThings; ++i) chosen |= best[i] ? 1u << i : 0u;
    double least = cost_of(0);
    for (unsigned labels = 1; labels < 1u << kThings; ++labels) least = std::min(least, cost_of(labels));
    EXPECT_NEAR(cost_of(chosen), least, 1e-9);
  }
}

TEST(LabelChoices, WhatCostsNothingGetsTheFirstLabel) {
  LabelChoice choice(2);
  choice.add(1, 2, 1);
  EXPECT_EQ(choice.best(), (std::vector<bool>{false, true}));
}

ValueId conv(GraphBuilder& b, ValueId x, std::int64_t outputs, std::int64_t window, std::int64_t groups = 1) {
  const ValueId w = b.input("w" + std::to_string(b.graph().inputs().size()), InputRole::state,
                            {DType::f32, Shape{outputs, b.shape(x)[1] / groups, window, window}});
  const Dims ones{1, 1}, pads(2, window / 2);
  return b.conv(x, w, {ones, pads, pads, ones, groups});
}

TEST(PreferredLayouts, WhatElementwiseOperatorsAndWindowsConnectIsLaidOutAlike) {
  GraphBuilder b;
  const ValueId image = b.input("image", InputRole::feed, {DType::f32, Shape{2, 3, 16, 16}});
  const ValueId y = conv(b, image, 32, 3), z = b.unary(Op::tanh, y);
  const ValueId pooled =
      b.pool(Op::reduce_window_max, z, {{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}});
  const ValueId flat = b.reshape(pooled, Shape{2, 2048});
  b.output("flat", OutputRole::fetch, flat);
  const auto device = make_cpu_device({.threads = 2});
  const Graph graph = with_preferred_layouts(std::move(b).take(), device->oracle());
  EXPECT_FALSE(graph.value(image).layout.has_value());
  EXPECT_FALSE(graph.value(flat).layout.has_value());
  ASSERT_TRUE(graph.value(y).layout.has_value());
  EXPECT_FALSE(graph.value(y).layout->is_row_major());
  EXPECT_EQ(graph.value(z).layout, graph.value(y).layout);
  ASSERT_TRUE(graph.value(pooled).layout.has_value());
  EXPECT_EQ(graph.value(pooled).layout->blocks, graph.value(y).layout->blocks);
}

/// A chain of convolutions whose channels divide into blocks here and there only, with its gradient's operators.
Graph chain() {
  GraphBuilder b;
  ValueId v = b.input("image", InputRole::feed, {DType::f32, Shape{3, 3, 18, 18}});
  for (const std::int64_t channels : {32, 96, 24, 144, 24, 64, 19}) {
    v = b.unary(Op::relu, conv(b, v, channels, 1));
    if (channels > 24) v = conv(b, v, channels, 3, channels);
    const ValueId mean = b.mean(v, {0, 2, 3}, false);
    v = b.sub(v, b.one(Op::broadcast, {mean}, {{"shape", b.shape(v).extents()}, {"dims", Dims{1}}}));
  }
  b.output("y", OutputRole::fetch, v);
  b.output("sums", OutputRole::fetch, b.reduce(Op::reduce_sum, b.mul(v, v), {0, 2, 3}));
  return std::move(b).take();
}

std::map<std::string, Tensor> operands(const Graph& graph) {
  std::map<std::string, Tensor> result;
  for (const GraphInput& i : graph.inputs()) {
    const Shape& shape = graph.type(i.value).shape;
    std::vector<float> values(static_cast<std::size_t>(shape.elements()));
    for (std::size_t e = 0; e < values.size(); ++e)
      values[e] = static_cast<float>(std::sin(0.7 * static_cast<double>(e + i.name.size()))) * 0.5f;
    result.emplace(i.name, Tensor::from<float>(shape, values));
  }
  return result;
}

TEST(PreferredLayouts, AMixtureOfChannelCountsGivesTheInterpretersResultsWithAndWithoutThem) {
  const Graph graph = chain();
  const auto inputs = operands(graph);
  const auto expected = interpret(graph, inputs);
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
    for (const bool without : {false, true}) {
      const auto device = make_cpu_device({.threads = 2, .isa = isa});
      LoweringOptions options;
      if (without) options.without = {"layouts"};
      const auto outputs = testing::run_compiled(graph, inputs, *device, options);
      for (const auto& [name, want] : expected)
        for (std::int64_t e = 0; e < want.elements(); ++e)
          ASSERT_NEAR(outputs.at(name).as_double(e), want.as_double(e),
                      2e-4 * std::max(1.0, std::abs(want.as_double(e))))
              << name << " " << e << " isa " << static_cast<int>(isa) << " without layouts " << without;
    }
}

/// Two inverted residual blocks with 24 channels between them, a normalisation after each, and all gradients.
Graph inverted_residuals() {
  GraphBuilder b;
  const auto normalised = [&](ValueId v) {
    const ValueId centred = b.sub(v, b.mean(v, {0, 2, 3}, true));
    const ValueId variance = b.mean(b.mul(centred, centred), {0, 2, 3}, true);
    return b.mul(centred, b.unary(Op::rsqrt, b.add(variance, b.like(variance, 1e-3))));
  };
  ValueId v = b.input("image", InputRole::feed, {DType::f32, Shape{4, 16, 28, 28}});
  for (const std::int64_t channels : {96, 144, 144}) {
    const ValueId wide = b.unary(Op::relu, normalised(conv(b, v, channels, 1)));
    const ValueId deep = b.unary(Op::relu, normalised(conv(b, wide, channels, 3, channels)));
    const ValueId narrow = normalised(conv(b, deep, 24, 1));
    v = b.shape(v)[1] == 24 ? b.add(v, narrow) : narrow;
  }
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.mul(v, b.unary(Op::tanh, v)));
  std::vector<ValueId> weights;
  for (const GraphInput& i : b.graph().inputs())
    if (i.role == InputRole::state) weights.push_back(i.value);
  const std::vector<ValueId> grads = gradients(b, loss, weights);
  b.output("loss", OutputRole::fetch, loss);
  for (std::size_t i = 0; i < grads.size(); ++i) b.output("grad " + std::to_string(i), OutputRole::fetch, grads[i]);
  return std::move(b).take();
}

TEST(PreferredLayouts, ConvolutionsFillUpTheLastBlockOfChannelsAndWhatElseReadsThemDoesNotSeeIt) {
  const Graph graph = inverted_residuals();
  auto inputs = operands(graph);
  std::mt19937 dice(5);
  for (auto& [name, value] : inputs)
    for (float& v : value.mutable_values<float>()) v = static_cast<float>(dice() % 2000) / 1e3f - 1;
  const auto expected = interpret(graph, inputs);
  const auto device = make_cpu_device({.threads = 2, .isa = CpuIsa::automatic});
  testing::CompiledGraph compiled(graph, inputs, *device);
  compiled.fill_arena(0x7f);
  const auto outputs = compiled.run(inputs);
  for (const auto& [name, want] : expected)
    for (std::int64_t e = 0; e < want.elements(); ++e)
      ASSERT_NEAR(outputs.at(name).as_double(e), want.as_double(e), 2e-3 * std::max(1.0, std::abs(want.as_double(e))))
          << name << " " << e;
  if (device->target().isa != "avx512") GTEST_SKIP() << "blocks of 16 channels are AVX-512's";
  std::int64_t filled = 0;
  for (const Instruction& i : compiled.lowered().program.instructions) {
    if (i.kernel < 0) continue;
    const std::string& who = compiled.lowered().program.kernels[static_cast<std::size_t>(i.kernel)].implementation;
    for (const auto* views : {&i.reads, &i.writes})
      for (const View& v : *views)
        if (v.layout.shape.rank() == 4 && v.layout.shape[1] == 24 && v.layout.shape[2] == 28 &&
            v.layout.has_padding()) {
          EXPECT_TRUE(who.starts_with("onednn.")) << who;
          ++filled;
        }
  }
  EXPECT_GT(filled, 0);
}

}  // namespace
}  // namespace weft
