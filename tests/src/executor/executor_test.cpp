// Compiled Programs compute what the interpreter computes: fusion, layouts, in-place updates and views included.
#include "src/executor/executor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/lowering/lower.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft {
namespace {

using Values = std::map<std::string, Tensor>;

Tensor random_tensor(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Tensor t(DType::f32, shape);
  for (float& x : t.mutable_values<float>()) x = normal(random);
  return t;
}

void expect_same(const Graph& graph, const Values& inputs, double tolerance = 2e-5) {
  auto device = make_cpu_device({});
  const Values expected = interpret(graph, inputs);
  const Values actual = testing::run_compiled(graph, inputs, *device);
  for (const auto& [name, e] : expected) {
    const Tensor& a = actual.at(name);
    ASSERT_EQ(a.shape(), e.shape()) << name;
    double scale = 1e-3;
    for (std::int64_t i = 0; i < e.elements(); ++i) scale = std::max(scale, std::abs(e.as_double(i)));
    for (std::int64_t i = 0; i < e.elements(); ++i)
      ASSERT_NEAR(a.as_double(i), e.as_double(i), tolerance * scale) << name << "[" << i << "]";
  }
}

/// sum(x * weight) as a scalar loss, so that gradients differ by element.
ValueId weighted_sum(GraphBuilder& b, ValueId x) {
  Dims all;
  for (int d = 0; d < b.shape(x).rank(); ++d) all.push_back(d);
  return b.reduce(Op::reduce_sum, b.mul(x, b.constant(random_tensor(b.shape(x), 99))), all);
}

TEST(Executor, RunsAnMlpStepWithMomentumInPlace) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {16, 20}});
  const ValueId w1 = b.input("w1", InputRole::state, {DType::f32, {32, 20}});
  const ValueId b1 = b.input("b1", InputRole::state, {DType::f32, {32}});
  const ValueId w2 = b.input("w2", InputRole::state, {DType::f32, {10, 32}});
  const ValueId hidden = b.unary(Op::relu, b.add(b.dot(x, w1, {}, {}, {1}, {1}), b1));
  const ValueId loss = weighted_sum(b, b.dot(hidden, w2, {}, {}, {1}, {1}));
  const std::vector<ValueId> parameters{w1, b1, w2};
  const std::vector<ValueId> grads = gradients(b, loss, parameters);
  const char* names[] = {"w1", "b1", "w2"};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::string slot = std::string("m/") + names[i];
    const ValueId m = b.input(slot, InputRole::state, b.type(parameters[i]));
    const ValueId next = b.add(b.mul(m, b.like(m, 0.9)), grads[i]);
    b.output(slot, OutputRole::state, next);
    b.output(names[i], OutputRole::state, b.sub(parameters[i], b.mul(next, b.like(next, 0.1))));
  }
  b.output("loss", OutputRole::fetch, loss);
  Values in;
  unsigned seed = 1;
  for (const GraphInput& i : b.graph().inputs()) in[i.name] = random_tensor(b.graph().type(i.value).shape, seed++);
  expect_same(b.graph(), in);
}

TEST(Executor, RunsConvolutionsBatchMomentsPoolingAndTheirGradients) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {4, 3, 12, 12}});
  const ValueId w1 = b.input("w1", InputRole::state, {DType::f32, {16, 3, 3, 3}});
  const ValueId w2 = b.input("w2", InputRole::state, {DType::f32, {32, 16, 3, 3}});
  const ValueId scale = b.input("scale", InputRole::state, {DType::f32, {16}});
  const ValueId bias = b.input("bias", InputRole::state, {DType::f32, {16}});
  const ConvWindow window{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
  const ValueId c1 = b.conv(x, w1, window);
  const Attributes norm{{"axis", std::int64_t{1}}, {"epsilon", 1e-5}, {"groups", std::int64_t{1}}};
  const auto bn = b.node(Op::batch_norm, {c1, scale, bias}, norm);
  const ValueId pooled = b.pool(Op::reduce_window_max, b.unary(Op::relu, bn[0]),
                                {{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}});
  const ValueId c2 = b.unary(Op::relu, b.conv(pooled, w2, window));
  const ValueId flat = b.reshape(c2, {4, 32 * 36});
  const ValueId loss = weighted_sum(b, flat);
  const std::vector<ValueId> grads = gradients(b, loss, {w1, w2, scale, bias});
  const char* names[] = {"w1", "w2", "scale", "bias"};
  const ValueId values[] = {w1, w2, scale, bias};
  for (std::size_t i = 0; i < 4; ++i)
    b.output(names[i], OutputRole::state, b.sub(values[i], b.mul(grads[i], b.like(grads[i], 0.01))));
  b.output("loss", OutputRole::fetch, loss);
  b.output("mean", OutputRole::fetch, bn[1]);
  Values in;
  unsigned seed = 11;
  for (const GraphInput& i : b.graph().inputs()) in[i.name] = random_tensor(b.graph().type(i.value).shape, seed++);
  expect_same(b.graph(), in, 1e-4);
}

TEST(Executor, StatesThatExchangeValuesDoNotOverwriteEachOther) {
  GraphBuilder b;
  const ValueId p = b.input("p", InputRole::state, {DType::f32, {100}});
  const ValueId q = b.input("q", InputRole::state, {DType::f32, {100}});
  b.output("p", OutputRole::state, q);
  b.output("q", OutputRole::state, p);
  expect_same(b.graph(), {{"p", random_tensor({100}, 1)}, {"q", random_tensor({100}, 2)}});
}

TEST(Executor, AnOldValueThatIsReadAfterItsUpdateSurvives) {
  GraphBuilder b;
  const ValueId p = b.input("p", InputRole::state, {DType::f32, {8, 8}});
  const ValueId next = b.add(p, b.like(p, 1));
  const ValueId product = b.dot(next, p, {}, {}, {1}, {0});  // reads old and new
  b.output("p", OutputRole::state, next);
  b.output("product", OutputRole::fetch, product);
  expect_same(b.graph(), {{"p", random_tensor({8, 8}, 3)}});
}

TEST(Executor, AStateThatIsBroadcastInItsOwnUpdateIsNotOverwrittenTooEarly) {
  GraphBuilder b;
  const ValueId p = b.input("p", InputRole::state, {DType::f32, {6, 6}});
  const ValueId row = b.reshape(b.slice(p, {0, 0}, {1, 6}, {1, 1}), {6});
  b.output("p", OutputRole::state, b.add(p, b.broadcast_in(row, {6, 6}, {1})));
  expect_same(b.graph(), {{"p", random_tensor({6, 6}, 4)}});
}

TEST(Executor, FetchesInputsConstantsAndViews) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {2, 6}});
  b.output("same", OutputRole::fetch, x);
  b.output("view", OutputRole::fetch, b.reshape(x, {3, 4}));
  b.output("constant", OutputRole::fetch, b.constant(random_tensor({5}, 5)));
  b.output("twice", OutputRole::fetch, b.add(x, x));
  b.output("twice again", OutputRole::fetch, b.add(x, x));
  expect_same(b.graph(), {{"x", random_tensor({2, 6}, 6)}});
}

TEST(Executor, RandomElementwiseAndReductionGraphsAgreeWithTheInterpreter) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    GraphBuilder b;
    const Shape shape{3, 5, 7};
    std::vector<ValueId> pool{b.input("x", InputRole::feed, {DType::f32, shape}),
                              b.input("y", InputRole::state, {DType::f32, shape})};
    const auto any = [&] { return pool[random() % pool.size()]; };
    for (int i = 0; i < 25; ++i) {
      switch (random() % 7) {
        case 0: pool.push_back(b.add(any(), any())); break;
        case 1: pool.push_back(b.mul(any(), b.unary(Op::tanh, any()))); break;
        case 2: pool.push_back(b.unary(Op::relu, any())); break;
        case 3: pool.push_back(b.sub(any(), b.reduce(Op::reduce_max, any(), {2}, true))); break;
        case 4: pool.push_back(b.mul(any(), b.mean(any(), {0, 2}, true))); break;
        case 5: pool.push_back(b.reshape(b.reshape(b.unary(Op::sigmoid, any()), {15, 7}), shape)); break;
        default: pool.push_back(b.unary(Op::tanh, b.transpose(b.transpose(any(), {2, 0, 1}), {1, 2, 0}))); break;
      }
    }
    b.output("y", OutputRole::state, pool.back());
    b.output("a", OutputRole::fetch, pool[pool.size() - 2]);
    b.output("b", OutputRole::fetch, b.reduce(Op::reduce_sum, pool[pool.size() / 2], {0, 1, 2}));
    SCOPED_TRACE(seed);
    expect_same(b.graph(), {{"x", random_tensor(shape, seed + 100)}, {"y", random_tensor(shape, seed + 200)}}, 1e-4);
  }
}

TEST(Executor, ElementwiseChainsThatMeetRunAsOneKernel) {
  GraphBuilder b;
  const TensorType type{DType::f32, {40, 50}};
  const ValueId x = b.input("x", InputRole::feed, type), y = b.input("y", InputRole::feed, type);
  const ValueId left = b.mul(x, b.like(x, 3)), right = b.unary(Op::exp, b.sub(y, b.like(y, 1)));
  b.output("z", OutputRole::fetch, b.add(left, right));
  expect_same(b.graph(), {{"x", random_tensor({40, 50}, 1)}, {"y", random_tensor({40, 50}, 2)}});
  auto device = make_cpu_device({});
  EXPECT_EQ(lower(b.graph(), device->oracle(), {}).program.instructions.size(), 1u);
}

TEST(Executor, ChainsThatMeetAcrossAReductionStayApart) {
  GraphBuilder b;
  const TensorType type{DType::f32, {40, 50}};
  const ValueId x = b.input("x", InputRole::feed, type);
  const ValueId chain = b.unary(Op::exp, x);
  b.output("chain", OutputRole::fetch, chain);
  const ValueId spread =
      b.broadcast_in(b.reduce(Op::reduce_sum, b.dot(chain, x, {}, {}, {0}, {0}), {1}), {40, 50}, {1});
  b.output("z", OutputRole::fetch, b.add(b.mul(x, spread), chain));
  expect_same(b.graph(), {{"x", random_tensor({40, 50}, 1)}});
}

}  // namespace
}  // namespace weft
