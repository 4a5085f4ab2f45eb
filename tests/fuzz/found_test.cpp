// What the differential fuzzer found, and that it finds what is planted.
#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/attention.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/fuzz/check_case.hpp"
#include "tests/fuzz/error_bounds.hpp"
#include "tests/fuzz/shrink.hpp"
#include "tests/support/dice.hpp"

namespace weft::fuzz {
namespace {

/// A device whose f32 kernels get the last element of their first result wrong by one part in a thousand.
class SlightlyWrongDevice final : public Device {
 public:
  const KernelOracle& oracle() const override { return inner_->oracle(); }
  std::unique_ptr<Allocation> allocate(std::int64_t bytes, MemorySpace space) override {
    return inner_->allocate(bytes, space);
  }
  MemorySpace arena_space() const override { return inner_->arena_space(); }
  std::unique_ptr<Kernel> compile(const KernelSpec& spec) override {
    auto kernel = std::make_unique<Wrong>();
    kernel->inner = inner_->compile(spec);
    const ValueId result = spec.body.outputs()[0].value;
    if (spec.body.type(result).dtype == DType::f32 && spec.body.layout(result).is_row_major())
      kernel->elements = spec.body.type(result).shape.elements();
    kernel->result = spec.body.inputs().size();
    return kernel;
  }
  void launch(const Kernel& kernel, std::span<std::byte* const> arguments, Lane lane) override {
    const auto& wrong = dynamic_cast<const Wrong&>(kernel);
    inner_->launch(*wrong.inner, arguments, lane);
    if (wrong.elements > 0) reinterpret_cast<float*>(arguments[wrong.result])[wrong.elements - 1] *= 1.001F;
  }
  void copy(std::byte* to, MemorySpace to_space, const std::byte* from, MemorySpace from_space, std::int64_t bytes,
            Lane lane) override {
    inner_->copy(to, to_space, from, from_space, bytes, lane);
  }
  DeviceEvent record(Lane lane) override { return inner_->record(lane); }
  void wait(Lane lane, DeviceEvent event) override { inner_->wait(lane, event); }
  void synchronize(Lane lane) override { inner_->synchronize(lane); }

 private:
  struct Wrong final : Kernel {
    std::unique_ptr<Kernel> inner;
    std::size_t result = 0;
    std::int64_t elements = 0;
  };
  std::unique_ptr<Device> inner_ = make_cpu_device({1, CpuIsa::automatic, true});
};

TEST(DifferentialFuzzer, FindsOneWrongElementOfOneKernelAndShowsASmallGraph) {
  const auto right = make_cpu_device({1, CpuIsa::automatic, true});
  SlightlyWrongDevice wrong;
  int found = 0, small = 0;
  for (unsigned seed = 0; seed < 40; ++seed) {
    const Case c = drawn_case(seed);
    EXPECT_EQ(check_device(c, *right).failure, "") << "seed " << seed;
    const Verdict v = check_device(c, wrong);
    if (v.failure.empty()) continue;
    ++found;
    const Case s = shrunk(c, v.output, [&](const Case& x) { return !check_device(x, wrong).failure.empty(); });
    small += std::ssize(s.graph.nodes()) <= 2 ? 1 : 0;
  }
  EXPECT_GT(found, 15);
  EXPECT_GT(small, found * 3 / 4);
}

TEST(DifferentialFuzzer, DrawsTheSameCaseFromTheSameSeed) {
  const Case a = drawn_case(77), b = drawn_case(77);
  EXPECT_EQ(a.graph.str(), b.graph.str());
  for (const auto& [name, value] : a.inputs) EXPECT_TRUE(value.identical(b.inputs.at(name))) << name;
  EXPECT_NE(drawn_case(78).graph.str(), a.graph.str());
}

TEST(DifferentialFuzzer, DrawsAttentionThatIsFoundAndNarrowedStepsAndUpdatesOfManyStates) {
  int operators = 0, found = 0, narrowed = 0, updating = 0;
  for (unsigned seed = kFirstWithNetworks; seed < kFirstWithNetworks + 300; ++seed) {
    const Case c = drawn_case(seed);
    const auto attentions = [](const Graph& g) {
      return std::count_if(g.nodes().begin(), g.nodes().end(), [](const Node& n) { return is_attention(n.op); });
    };
    operators += attentions(c.graph) > 0 ? 1 : 0;
    found += c.find_attention && attentions(with_attention(c.graph)) > attentions(c.graph) ? 1 : 0;
    narrowed += c.compute != DType::f32 ? 1 : 0;
    const auto& outputs = c.graph.outputs();
    updating += std::count_if(outputs.begin(), outputs.end(),
                              [](const GraphOutput& o) { return o.role == OutputRole::state; }) > 3
                    ? 1
                    : 0;
  }
  EXPECT_GT(operators, 20);
  EXPECT_GT(found, 5);
  EXPECT_GT(narrowed, 20);
  EXPECT_GT(updating, 40);
}

TEST(DifferentialFuzzer, HoldsRowsThatLargeNumbersHideToEqualProbabilities) {
  GraphBuilder b;
  const TensorType scores{DType::f32, {2, 4}};
  const ValueId x = b.input("x", InputRole::feed, scores), mask = b.input("mask", InputRole::feed, scores);
  b.output("p", OutputRole::fetch, b.one(Op::softmax, {b.add(x, mask)}, {{"axis", std::int64_t{1}}}));
  std::map<std::string, Tensor> inputs{{"x", testing::Dice(1).values(DType::f32, scores.shape)},
                                       {"mask", Tensor::full(DType::f32, scores.shape, -1e9)}};
  const Bounded p = bounded(b.graph(), inputs).at("p");
  for (std::int64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(p.value.as_double(i), 0.25);
    EXPECT_LT(p.error.as_double(i), 1e-5);
  }
}

TEST(Found, AContractionOfASingleConstantReadsItFromMemory) {
  for (const DType type : {DType::f32, DType::i32}) {
    Case c;
    GraphBuilder b;
    const ValueId x = b.input("x", InputRole::feed, {type, {3, 5}});
    b.output("y", OutputRole::fetch, b.dot(b.full(type, {}, 2), x, {}, {}, {}, {}));
    if (type == DType::f32) {
      const ValueId image = b.reshape(x, {1, 1, 3, 5});
      const ConvWindow window{{1, 1}, {1, 0}, {0, 1}, {1, 1}, 1};
      b.output("z", OutputRole::fetch, b.conv(image, b.constant(Tensor::full(type, {1, 1, 1, 1}, 3)), window));
    }
    c.graph = std::move(b).take();
    c.inputs["x"] = testing::Dice(1).values(type, Shape{3, 5});
    EXPECT_EQ(check_device(c, *make_cpu_device({2, CpuIsa::automatic, true})).failure, "");
  }
}

TEST(Found, NothingNeedsNoReorder) {
  Case c;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f64, {9, 9, 0}});
  b.output("y", OutputRole::fetch, b.add(x, b.full(DType::f64, {9, 9, 0}, 2)));
  c.graph = std::move(b).take();
  c.inputs["x"] = Tensor(DType::f64, {9, 9, 0});
  EXPECT_EQ(check_device(c, *make_cpu_device({2, CpuIsa::automatic, true})).failure, "");
}

TEST(Found, WindowsOverNothingMakeNothing) {
  Case c;
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {2, 0, 4, 4}});
  const Attributes window{{"window", Dims{1, 1, 2, 2}},
                          {"strides", Dims{1, 1, 2, 2}},
                          {"pads_low", Dims{0, 0, 0, 0}},
                          {"pads_high", Dims{0, 0, 0, 0}},
                          {"dilations", Dims{1, 1, 1, 1}}};
  const ValueId y = b.one(Op::reduce_window_max, {x}, window);
  b.output("y", OutputRole::fetch, y);
  b.output("dx", OutputRole::fetch, b.one(Op::reduce_window_max_grad, {x, y}, window));
  c.graph = std::move(b).take();
  c.inputs["x"] = Tensor(DType::f32, {2, 0, 4, 4});
  EXPECT_EQ(check_device(c, *make_cpu_device({2, CpuIsa::automatic, true})).failure, "");
}

TEST(Found, ADepthwiseGradientInF32OfNarrowOperandsIsNotReadAsF32) {
  for (const DType narrow : {DType::f16, DType::bf16})
    for (const std::int64_t channels : {16, 24, 48})
      for (const std::int64_t stride : {1, 2}) {
        Case c;
        c.compute = narrow;
        GraphBuilder b;
        const Shape image{2, channels, 3, 5}, weights{channels, 1, 3, 3};
        const Shape result{2, channels, stride == 1 ? 3 : 2, stride == 1 ? 5 : 3};
        const ValueId dy = b.input("dy", InputRole::feed, {DType::f32, result}),
                      w = b.input("w", InputRole::state, {DType::f32, weights});
        b.output("dx", OutputRole::fetch,
                 b.one(Op::conv_data_grad, {dy, w},
                       {{"strides", Dims{stride, stride}},
                        {"pads_low", Dims{1, 1}},
                        {"pads_high", Dims{1, 1}},
                        {"dilations", Dims{1, 1}},
                        {"groups", channels},
                        {"input_shape", image.extents()}}));
        c.graph = std::move(b).take();
        c.inputs["dy"] = testing::Dice(1).values(DType::f32, result);
        c.inputs["w"] = testing::Dice(2).values(DType::f32, weights);
        EXPECT_EQ(check_device(c, *make_cpu_device({2, CpuIsa::automatic, true})).failure, "") << channels;
      }
}

/// The seed, for a graph of many concatenated parts is needed: the table of tensors has to grow between two of them.
TEST(Found, CopiesOfPartsAreNamedAfterTheTableOfTensorsHasGrown) {
  EXPECT_EQ(check_device(drawn_case(701312), *make_cpu_device({2, CpuIsa::automatic, true})).failure, "");
}

}  // namespace
}  // namespace weft::fuzz
