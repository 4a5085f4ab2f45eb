// What shares a kernel with depthwise convolutions, and that values stay what they are.
#include <gtest/gtest.h>

#include <algorithm>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft {
namespace {

using testing::random_tensor;

/// An inverted residual's middle and its gradients: channels made more, normalised and clipped, filtered one by one,
/// normalised and clipped again.
class Separable {
 public:
  explicit Separable(std::int64_t stride, bool read_by_another = false) {
    ValueId x = b_.input("x", InputRole::feed, {DType::f32, {2, 8, 11, 9}});
    values_["x"] = random_tensor(DType::f32, {2, 8, 11, 9}, 1);
    x = clipped(b_.conv(x, weight({32, 8, 1, 1}), {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1}));
    ValueId y = b_.conv(x, weight({32, 1, 3, 3}), {{stride, stride}, {1, 1}, {1, 1}, {1, 1}, 32});
    y = b_.conv(clipped(y), weight({4, 32, 1, 1}), {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1});
    ValueId loss = b_.reduce_all(Op::reduce_sum, b_.mul(y, y));
    if (read_by_another) {
      const ValueId z = b_.conv(x, weight({4, 32, 1, 1}), {{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1});
      loss = b_.add(loss, b_.reduce_all(Op::reduce_sum, b_.mul(z, z)));
    }
    b_.output("loss", OutputRole::fetch, loss);
    const std::vector<ValueId> grads = gradients(b_, loss, weights_);
    for (std::size_t i = 0; i < grads.size(); ++i) b_.output("grad" + std::to_string(i), OutputRole::fetch, grads[i]);
  }

  /// Compiled for two threads, compared with the interpreter; the kernels that it came to.
  std::vector<KernelSpec> check(std::vector<std::string> without = {}) {
    const auto device = make_cpu_device({2, CpuIsa::automatic, true});
    LoweringOptions options;
    options.without = std::move(without);
    testing::CompiledGraph compiled(b_.graph(), values_, *device, options);
    const auto want = interpret(b_.graph(), values_);
    for (const auto& [name, value] : compiled.run(values_)) testing::expect_close(value, want.at(name), 2e-4, name);
    return compiled.lowered().program.kernels;
  }

 private:
  ValueId weight(const Shape& shape) {
    const std::string name = "w" + std::to_string(weights_.size());
    weights_.push_back(b_.input(name, InputRole::state, {DType::f32, shape}));
    values_[name] = random_tensor(DType::f32, shape, static_cast<unsigned>(10 + weights_.size()), -0.7, 1);
    return weights_.back();
  }

  ValueId clipped(ValueId x) {
    const ValueId y = b_.node(Op::batch_norm, {x, weight({32}), weight({32})},
                              {{"axis", std::int64_t{1}}, {"epsilon", 0.1}, {"groups", std::int64_t{1}}})[0];
    return b_.binary(Op::minimum, b_.binary(Op::maximum, y, b_.like(y, 0)), b_.like(y, 2));
  }

  GraphBuilder b_;
  std::vector<ValueId> weights_;
  std::map<std::string, Tensor> values_;
};

/// Kernels that hold all of `ops`.
std::ptrdiff_t kernels_with(const std::vector<KernelSpec>& kernels, const std::vector<Op>& ops) {
  return std::count_if(kernels.begin(), kernels.end(), [&](const KernelSpec& k) {
    return std::all_of(ops.begin(), ops.end(), [&](Op op) {
      const auto& nodes = k.body.nodes();
      return std::any_of(nodes.begin(), nodes.end(), [&](const Node& n) { return n.op == op; });
    });
  });
}

TEST(FuseDepthwise, WhatIsNormalisedAndClippedBeforeItAndTheSumsBehindItAreItsKernels) {
  for (const std::int64_t stride : {1, 2}) {
    const std::vector<KernelSpec> kernels = Separable(stride).check();
    EXPECT_EQ(kernels_with(kernels, {Op::minimum, Op::conv_general, Op::moments}), 1);
    EXPECT_EQ(kernels_with(kernels, {Op::minimum, Op::conv_data_grad, Op::conv_filter_grad, Op::reduce_sum}), 1);
  }
}

TEST(FuseDepthwise, AnOperandThatSomethingElseReadsStaysInMemory) {
  const std::vector<KernelSpec> kernels = Separable(1, true).check();
  EXPECT_EQ(kernels_with(kernels, {Op::minimum, Op::conv_general}), 0);
}

/// As in inference with normalisations folded into convolutions.
TEST(FuseDepthwise, ABiasAndABoundBehindItJoinItToo) {
  GraphBuilder b;
  const std::map<std::string, Tensor> values{{"x", random_tensor(DType::f32, {1, 16, 9, 9}, 1)},
                                             {"w", random_tensor(DType::f32, {16, 1, 3, 3}, 2)},
                                             {"bias", random_tensor(DType::f32, {16}, 3)}};
  const auto input = [&](const std::string& name) {
    return b.input(name, InputRole::feed, {DType::f32, values.at(name).shape()});
  };
  const ValueId x = input("x");
  const ValueId before = b.binary(Op::minimum, b.unary(Op::exp, x), b.like(x, 2));
  const ValueId y = b.conv(before, input("w"), {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 16});
  const ValueId sum = b.add(y, b.broadcast_in(input("bias"), b.shape(y), {1}));
  b.output("y", OutputRole::fetch, b.binary(Op::maximum, sum, b.like(sum, 0)));
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  testing::CompiledGraph compiled(b.graph(), values, *device);
  testing::expect_close(compiled.run(values).at("y"), interpret(b.graph(), values).at("y"), 2e-5, "y");
  EXPECT_EQ(kernels_with(compiled.lowered().program.kernels, {Op::minimum, Op::conv_general, Op::add, Op::maximum}), 1);
}

TEST(FuseDepthwise, WithoutFusionOrLayoutsValuesAreTheSame) {
  EXPECT_EQ(kernels_with(Separable(2).check({"fuse"}), {Op::minimum, Op::conv_general}), 0);
  Separable(1).check({"layouts"});
  Separable(2).check({"layouts"});
}

}  // namespace
}  // namespace weft
