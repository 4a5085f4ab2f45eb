// The interpreter against values worked out by hand and published vectors.
#include "graph/ir/interpret.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "graph/ir/builder.hpp"
#include "weft/error.hpp"
#include "weft/philox.hpp"

namespace weft {
namespace {

using ::testing::ElementsAre;

/// Evaluates one operator on constants.
std::vector<Tensor> run(Op op, std::vector<Tensor> operands, Attributes attributes = {}) {
  GraphBuilder b;
  std::vector<ValueId> inputs;
  for (Tensor& t : operands) inputs.push_back(b.constant(std::move(t)));
  const std::vector<ValueId> results = b.node(op, inputs, std::move(attributes));
  for (std::size_t i = 0; i < results.size(); ++i) b.output(std::to_string(i), OutputRole::fetch, results[i]);
  const auto values = interpret(b.graph(), {});
  std::vector<Tensor> in_order;
  for (const auto& [name, value] : values) in_order.push_back(value);
  return in_order;
}

std::vector<double> doubles(const Tensor& t) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < t.elements(); ++i) result.push_back(t.as_double(i));
  return result;
}

Tensor f32(Shape shape, std::initializer_list<float> values) { return Tensor::from<float>(std::move(shape), values); }
Tensor i64(Shape shape, std::initializer_list<std::int64_t> values) {
  return Tensor::from<std::int64_t>(std::move(shape), values);
}
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Philox, GivesThePublishedKnownAnswers) {
  // Random123 1.14, tests/kat_vectors, philox4x32 10 rounds.
  EXPECT_THAT(philox4x32({0, 0, 0, 0}, {0, 0}), ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(philox4x32({0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}, {0xffffffffu, 0xffffffffu}),
              ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
  EXPECT_THAT(philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}),
              ElementsAre(0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u));
}

/// 4096 values 1000 +- 300, whose sum and squares are beyond what f16 holds.
Tensor large_f16() {
  std::vector<Half> values;
  for (int i = 0; i < 4096; ++i) values.emplace_back(i % 2 == 0 ? 700.0F : 1300.0F);
  return Tensor::from<Half>({2, 2048}, values);
}

TEST(Interpret, MomentsOfF16AreTakenInF32) {
  const Tensor x = large_f16();
  const auto moments = run(Op::moments, {x}, {{"dims", Dims{1}}});
  EXPECT_THAT(doubles(moments[0]), ElementsAre(1000, 1000));
  EXPECT_THAT(doubles(moments[1]), ElementsAre(HUGE_VAL, HUGE_VAL))
      << "90000 is no f16, but not for want of range inside";
  GraphBuilder b;
  b.output("mean", OutputRole::fetch, b.mean(b.constant(x), {0, 1}));
  EXPECT_EQ(interpret(b.graph(), {}).at("mean").as_double(0), 1000);
}

TEST(Interpret, NormalisationsOfF16DoNotOverflow) {
  const Tensor x = large_f16();
  const auto expect_plus_and_minus_one = [](const Tensor& y) {
    EXPECT_EQ(y.dtype(), DType::f16);
    for (std::int64_t i = 0; i < y.elements(); ++i) ASSERT_NEAR(y.as_double(i), i % 2 == 0 ? -1 : 1, 1e-3) << i;
  };
  const auto filled = [](Shape shape, double value) { return Tensor::full(DType::f16, std::move(shape), value); };
  expect_plus_and_minus_one(run(Op::layer_norm, {x, filled({2048}, 1), filled({2048}, 0)},
                                {{"axis", std::int64_t{1}}, {"epsilon", 1e-5}})[0]);
  expect_plus_and_minus_one(run(Op::batch_norm, {x.reshaped({1, 1, 4096}), filled({1}, 1), filled({1}, 0)},
                                {{"axis", std::int64_t{1}}, {"epsilon", 1e-5}, {"groups", std::int64_t{1}}})[0]);
}

TEST(Interpret, RandomBitsFollowTheSampleNotTheBatch) {
  const auto bits = [](std::int64_t offset, Shape shape) {
    return run(Op::random_bits, {i64({}, {7}), i64({}, {3}), i64({}, {offset})},
               {{"id", std::int64_t{5}}, {"shape", shape.extents()}, {"sample_dim", std::int64_t{0}}})[0];
  };
  const Tensor whole = bits(10, {4, 6}), second = bits(12, {2, 6});
  for (int i = 0; i < 12; ++i) EXPECT_EQ(whole.as_int(12 + i), second.as_int(i));
  EXPECT_EQ(whole.values<std::uint32_t>()[5], philox4x32({1, 10, 3, 5}, {7, 0})[1]);
}

TEST(Interpret, APartOfRandomBitsIsThePartOfTheWhole) {
  for (const std::int64_t sample_dim : {-1, 0, 1, 2}) {
    const std::vector<Tensor> clock{i64({}, {7}), i64({}, {3}), i64({}, {40})};
    const Tensor whole =
        run(Op::random_bits, clock, {{"id", std::int64_t{5}}, {"shape", Dims{4, 5, 6}}, {"sample_dim", sample_dim}})[0];
    std::vector<Tensor> operands = clock;
    if (sample_dim >= 0) operands[2] = i64({}, {41});  // samples are counted by the offset, others by start
    operands.push_back(i64({3}, {1, 1, 1}));
    const Tensor part = run(
        Op::random_bits, operands,
        {{"id", std::int64_t{5}}, {"shape", Dims{2, 3, 4}}, {"sample_dim", sample_dim}, {"whole", Dims{4, 5, 6}}})[0];
    const Tensor expected =
        run(Op::slice, {whole}, {{"start", Dims{1, 1, 1}}, {"limit", Dims{3, 4, 5}}, {"stride", Dims{1, 1, 1}}})[0];
    EXPECT_TRUE(part.identical(expected)) << sample_dim;
  }
}

TEST(Interpret, IntegerArithmeticWrapsAndDivisionByZeroIsZero) {
  const Tensor x = Tensor::from<std::int8_t>({4}, {127, -128, 7, -7}),
               y = Tensor::from<std::int8_t>({4}, {1, -1, 0, 2});
  EXPECT_THAT(doubles(run(Op::add, {x, y})[0]), ElementsAre(-128, 127, 7, -5));
  EXPECT_THAT(doubles(run(Op::div, {x, y})[0]), ElementsAre(127, -128, 0, -3));
  EXPECT_THAT(doubles(run(Op::rem, {x, y})[0]), ElementsAre(0, 0, 0, -1));
}

TEST(Interpret, HalfSumsAreRoundedOnce) {
  // 2048 + 1 + 1 in binary16 steps would stay 2048.
  const Tensor x = f32({3}, {2048, 1, 1}).cast(DType::f16);
  EXPECT_THAT(doubles(run(Op::reduce_sum, {x}, {{"dims", Dims{0}}})[0]), ElementsAre(2050));
}

TEST(Interpret, PadCropsAndSpreads) {
  const Tensor x = f32({4}, {1, 2, 3, 4}), zero = f32({}, {0});
  EXPECT_THAT(doubles(run(Op::pad, {x, zero}, {{"low", Dims{-1}}, {"high", Dims{1}}, {"interior", Dims{1}}})[0]),
              ElementsAre(0, 2, 0, 3, 0, 4, 0));
}

TEST(Interpret, TransposeSliceReverseConcat) {
  const Tensor x = f32({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_THAT(doubles(run(Op::transpose, {x}, {{"order", Dims{1, 0}}})[0]), ElementsAre(1, 4, 2, 5, 3, 6));
  EXPECT_THAT(doubles(run(Op::slice, {x}, {{"start", Dims{0, 0}}, {"limit", Dims{2, 3}}, {"stride", Dims{1, 2}}})[0]),
              ElementsAre(1, 3, 4, 6));
  EXPECT_THAT(doubles(run(Op::reverse, {x}, {{"dims", Dims{1}}})[0]), ElementsAre(3, 2, 1, 6, 5, 4));
  EXPECT_THAT(doubles(run(Op::concat, {x, x}, {{"axis", std::int64_t{1}}})[0]),
              ElementsAre(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6));
}

TEST(Interpret, IndicesOutsideTheRangeReadNanAndWriteNowhere) {
  const Tensor x = f32({3}, {1, 2, 3}), at = i64({3}, {2, -1, 3});
  const Tensor read = run(Op::gather, {x, at}, {{"axis", std::int64_t{0}}})[0];
  EXPECT_EQ(read.as_double(0), 3);
  EXPECT_TRUE(std::isnan(read.as_double(1)) && std::isnan(read.as_double(2)));
  EXPECT_THAT(doubles(run(Op::scatter_add, {at, x}, {{"axis", std::int64_t{0}}, {"shape", Dims{4}}})[0]),
              ElementsAre(0, 0, 1, 3));
}

TEST(Interpret, NdFormsFollowOnnx) {
  // The examples of ONNX's GatherND (batch_dims 1) and ScatterND.
  const Tensor x = Tensor::from<std::int32_t>({2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_THAT(doubles(run(Op::gather_nd, {x, i64({2, 1}, {1, 0})}, {{"batch_dims", std::int64_t{1}}})[0]),
              ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(doubles(run(Op::scatter_nd, {f32({4}, {1, 2, 3, 4}), i64({3, 1}, {1, 3, 1}), f32({3}, {9, 10, 11})},
                          {{"kind", std::string("add")}})[0]),
              ElementsAre(1, 22, 3, 14));
}

TEST(Interpret, ArgmaxTakesNanAndTheFirstOrLastOfEquals) {
  const Tensor x = f32({2, 4}, {1, 3, 3, 0, 5, kNan, kNan, 9});
  const auto arg = [&](Op op, std::int64_t last) {
    return doubles(run(op, {x}, {{"axis", std::int64_t{1}}, {"last", last}})[0]);
  };
  EXPECT_THAT(arg(Op::argmax, 0), ElementsAre(1, 1));
  EXPECT_THAT(arg(Op::argmax, 1), ElementsAre(2, 2));
  EXPECT_THAT(arg(Op::argmin, 0), ElementsAre(3, 1));
}

TEST(Interpret, TopKSortsAndPrefersLowerIndices) {
  const auto results = run(Op::top_k, {f32({5}, {2, 7, 7, 1, 3})},
                           {{"axis", std::int64_t{0}}, {"k", std::int64_t{3}}, {"largest", std::int64_t{1}}});
  EXPECT_THAT(doubles(results[0]), ElementsAre(7, 7, 3));
  EXPECT_THAT(doubles(results[1]), ElementsAre(1, 2, 4));
}

TEST(Interpret, CumulativeSumExclusiveAndReverse) {
  const auto sum = [](std::int64_t exclusive, std::int64_t reverse) {
    return doubles(run(Op::cumsum, {f32({3}, {1, 2, 4})},
                       {{"axis", std::int64_t{0}}, {"exclusive", exclusive}, {"reverse", reverse}})[0]);
  };
  EXPECT_THAT(sum(0, 0), ElementsAre(1, 3, 7));
  EXPECT_THAT(sum(1, 0), ElementsAre(0, 1, 3));
  EXPECT_THAT(sum(0, 1), ElementsAre(7, 6, 4));
  EXPECT_THAT(sum(1, 1), ElementsAre(6, 4, 0));
}

TEST(Interpret, MaximumOfNothingIsTheLowestValue) {
  EXPECT_THAT(doubles(run(Op::reduce_max, {Tensor(DType::i8, {0})}, {{"dims", Dims{0}}})[0]), ElementsAre(-128));
  EXPECT_THAT(doubles(run(Op::reduce_sum, {Tensor(DType::f32, {2, 0})}, {{"dims", Dims{1}}})[0]), ElementsAre(0, 0));
}

TEST(Interpret, WhileCountsAndIfChooses) {
  GraphBuilder condition, body, b;
  const TensorType scalar{DType::i64, {}};
  condition.output(
      "go", OutputRole::fetch,
      condition.binary(Op::less, condition.input("i", InputRole::feed, scalar), condition.constant(i64({}, {5}))));
  const ValueId i = body.input("i", InputRole::feed, scalar);
  body.output("i", OutputRole::fetch, body.add(i, body.constant(i64({}, {2}))));
  const ValueId end =
      b.control(Op::while_, {b.input("start", InputRole::feed, scalar)}, {condition.graph(), body.graph()})[0];
  b.output("end", OutputRole::fetch, end);
  EXPECT_EQ(interpret(b.graph(), {{"start", i64({}, {0})}}).at("end").as_int(0), 6);
  EXPECT_EQ(interpret(b.graph(), {{"start", i64({}, {9})}}).at("end").as_int(0), 9);
}

TEST(Interpret, InputsAreCheckedByNameAndType) {
  GraphBuilder b;
  b.output("y", OutputRole::fetch, b.unary(Op::neg, b.input("x", InputRole::feed, {DType::f32, {2}})));
  EXPECT_THROW(interpret(b.graph(), {}), UserError);
  EXPECT_THROW(interpret(b.graph(), {{"x", f32({3}, {1, 2, 3})}}), UserError);
}

TEST(Interpret, StableCompositesAtTheEdges) {
  const Tensor x = f32({4}, {-1000, -20, 20, 1000});
  const auto sigmoid = doubles(run(Op::sigmoid, {x})[0]);
  EXPECT_EQ(sigmoid[0], 0);
  EXPECT_NEAR(sigmoid[1] / 2.0611536e-9, 1, 1e-6);
  EXPECT_EQ(sigmoid[3], 1);
  EXPECT_THAT(doubles(run(Op::softplus, {f32({2}, {-1000, 1000})})[0]), ElementsAre(0, 1000));
  EXPECT_THAT(doubles(run(Op::softmax, {f32({2}, {1000, 1000})}, {{"axis", std::int64_t{0}}})[0]),
              ElementsAre(0.5, 0.5));
}

TEST(Interpret, CrossEntropyIgnoresAndRefusesLabels) {
  const Attributes attributes = {
      {"axis", std::int64_t{1}}, {"ignore_index", std::int64_t{-100}}, {"label_smoothing", 0.0}};
  const Tensor loss = run(Op::cross_entropy, {f32({3, 2}, {0, 0, 0, 0, 0, 0}), i64({3}, {1, -100, 2})}, attributes)[0];
  EXPECT_NEAR(loss.as_double(0), std::log(2.0), 1e-7);
  EXPECT_EQ(loss.as_double(1), 0);
  EXPECT_TRUE(std::isnan(loss.as_double(2)));
}

TEST(Interpret, DropoutKeepsAboutTheRatioAndScales) {
  const Tensor y = run(Op::dropout, {Tensor::full(DType::f32, {10000}, 1), i64({}, {1}), i64({}, {2}), i64({}, {0})},
                       {{"ratio", 0.25}, {"id", std::int64_t{3}}, {"sample_dim", std::int64_t{-1}}})[0];
  int kept = 0;
  for (std::int64_t i = 0; i < y.elements(); ++i)
    if (y.as_double(i) != 0) {
      ++kept;
      ASSERT_FLOAT_EQ(static_cast<float>(y.as_double(i)), 4.0f / 3);
    }
  EXPECT_NEAR(kept, 7500, 150);
}

}  // namespace
}  // namespace weft
