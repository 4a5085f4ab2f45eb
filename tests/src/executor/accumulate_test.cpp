// Sums by index in the memory of what they are added to: against the interpreter.
#include <gtest/gtest.h>

#include <cmath>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "kernels/cpu/cpu_device.hpp"
#include "tests/support/run_compiled.hpp"

namespace weft::testing {
namespace {

constexpr std::int64_t kVocabulary = 500, kWidth = 64, kTokens = 20;

Tensor wave(const Shape& shape, double phase) {
  std::vector<float> values(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(std::sin(phase + 0.37 * static_cast<double>(i)));
  return Tensor::from<float>(shape, values);
}

/// The gradient of a weight that is both an embedding and the last layer's.
struct Tied {
  GraphBuilder b;
  ValueId product = kNone, scattered = kNone;

  Tied() {
    const ValueId x = b.input("x", InputRole::feed, {DType::f32, {32, kVocabulary}});
    const ValueId y = b.input("y", InputRole::feed, {DType::f32, {32, kWidth}});
    const ValueId tokens = b.input("tokens", InputRole::feed, {DType::i64, {4, kTokens / 4}});
    const ValueId updates = b.input("updates", InputRole::feed, {DType::f32, {4, kTokens / 4, kWidth}});
    product = b.dot(x, y, {}, {}, {0}, {0});
    scattered =
        b.one(Op::scatter_add, {tokens, updates}, {{"axis", std::int64_t{0}}, {"shape", Dims{kVocabulary, kWidth}}});
  }

  static std::map<std::string, Tensor> inputs() {
    std::vector<std::int64_t> tokens;
    for (std::int64_t i = 0; i < kTokens; ++i) tokens.push_back(i % 7 == 0 ? 3 : 23 * i);
    tokens.back() = kVocabulary;  // dropped
    return {{"x", wave({32, kVocabulary}, 0)},
            {"y", wave({32, kWidth}, 1)},
            {"tokens", Tensor::from<std::int64_t>({4, kTokens / 4}, tokens)},
            {"updates", wave({4, kTokens / 4, kWidth}, 2)}};
  }
};

Program expect_interpreted(const Graph& graph) {
  const auto inputs = Tied::inputs();
  const auto expected = interpret(graph, inputs);
  const auto device = make_cpu_device({.threads = 2});
  CompiledGraph compiled(graph, inputs, *device);
  for (int step = 1; step <= 2; ++step) {
    compiled.fill_arena(0xff);
    const auto got = compiled.run(inputs, step);
    for (const auto& [name, tensor] : expected)
      for (std::int64_t i = 0; i < tensor.elements(); ++i)
        EXPECT_NEAR(got.at(name).as_double(i), tensor.as_double(i), 1e-4) << name << " " << i;
  }
  return compiled.lowered().program;
}

TEST(Accumulate, ATiedEmbeddingsGradientNeedsNoOtherTensorOfTheVocabularysSize) {
  for (const bool swapped : {false, true}) {
    Tied t;
    const ValueId sum = swapped ? t.b.add(t.scattered, t.product) : t.b.add(t.product, t.scattered);
    t.b.output("sum", OutputRole::fetch, t.b.reduce(Op::reduce_sum, t.b.mul(sum, sum), {1}, false));
    const Program program = expect_interpreted(std::move(t.b).take());
    EXPECT_LT(program.arena_bytes[0], 2 * kVocabulary * kWidth * 4);
  }
}

TEST(Accumulate, WhatOthersReadIsNotWrittenOver) {
  Tied t;
  t.b.output("sum", OutputRole::fetch, t.b.unary(Op::neg, t.b.add(t.product, t.scattered)));
  t.b.output("product", OutputRole::fetch, t.b.unary(Op::abs, t.product));
  expect_interpreted(std::move(t.b).take());
}

TEST(Accumulate, SumsByIndexThatOthersReadStay) {
  Tied t;
  t.b.output("sum", OutputRole::fetch, t.b.add(t.product, t.scattered));
  t.b.output("scattered", OutputRole::fetch, t.scattered);
  expect_interpreted(std::move(t.b).take());
}

TEST(Accumulate, TwoSumsByIndexGoIntoOneTensor) {
  Tied t;
  const ValueId again = t.b.one(Op::scatter_add, {t.b.graph().find_input("tokens"), t.b.graph().find_input("updates")},
                                {{"axis", std::int64_t{0}}, {"shape", Dims{kVocabulary, kWidth}}});
  t.b.output("sum", OutputRole::fetch, t.b.add(t.b.add(t.product, t.scattered), again));
  expect_interpreted(std::move(t.b).take());
}

}  // namespace
}  // namespace weft::testing
