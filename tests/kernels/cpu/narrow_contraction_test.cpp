// Contractions of bf16 with wide and narrow results, and the epilogues that round once.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/cpu/check_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::random_tensor;

/// One rounding to bf16 of sums that differ in their last bits.
constexpr double kOneRounding = 8e-3;

ValueId wide(Body& body, Op op, const std::vector<ValueId>& operands, Attributes attributes) {
  attributes.set("dtype", DType::f32);
  return body.b.one(op, operands, std::move(attributes));
}

Attributes product() {
  return {{"x_batch", Dims{}}, {"y_batch", Dims{}}, {"x_contract", Dims{1}}, {"y_contract", Dims{0}}};
}

Attributes window() {
  return {{"strides", Dims{1, 1}},
          {"pads_low", Dims{1, 1}},
          {"pads_high", Dims{1, 1}},
          {"dilations", Dims{1, 1}},
          {"groups", std::int64_t{1}}};
}

/// What follows a contraction, by its bits.
enum Epilogue { kBias = 1, kWideResidual = 2, kNarrowResidual = 4, kRelu = 8, kRounded = 16 };

void end(Body& body, ValueId y, int channel, int epilogue) {
  const Shape shape = body.b.shape(y);
  if (epilogue & kBias) {
    const ValueId bias = body.in(random_tensor(DType::f32, Shape{shape[channel]}, 5));
    y = body.b.add(y, body.b.broadcast_in(bias, shape, {channel}));
  }
  if (epilogue & kWideResidual) y = body.b.add(y, body.in(random_tensor(DType::f32, shape, 6)));
  if (epilogue & kNarrowResidual)
    y = body.b.add(y, body.b.cast(body.in(random_tensor(DType::bf16, shape, 7)), DType::f32));
  if (epilogue & kRelu) y = body.b.unary(Op::relu, y);
  if (epilogue & kRounded) y = body.b.cast(y, DType::bf16);
  body.out(y);
}

constexpr int kEpilogues[] = {0,
                              kRounded,
                              kBias | kRounded,
                              kBias | kRelu | kRounded,
                              kNarrowResidual | kRounded,
                              kBias | kNarrowResidual | kRounded,
                              kBias | kNarrowResidual | kRelu | kRounded,
                              kBias | kWideResidual | kRounded,
                              kBias | kRelu,
                              kRelu | kRounded};

TEST(CpuNarrowContractions, ProductsWithEveryEpilogueAgree) {
  for (const int epilogue : kEpilogues) {
    SCOPED_TRACE(epilogue);
    Body body;
    const ValueId x = body.in(random_tensor(DType::bf16, Shape{48, 64}, 1));
    const ValueId y = body.in(random_tensor(DType::bf16, Shape{64, 80}, 2));
    end(body, wide(body, Op::dot_general, {x, y}, product()), 1, epilogue);
    EXPECT_EQ(check(std::move(body), epilogue & kRounded ? kOneRounding : 1e-5), "onednn.matmul");
  }
}

TEST(CpuNarrowContractions, ConvolutionsWithEveryEpilogueAgree) {
  for (const int epilogue : kEpilogues) {
    SCOPED_TRACE(epilogue);
    Body body;
    const ValueId x = body.in(random_tensor(DType::bf16, Shape{2, 32, 9, 9}, 1, -1, 1));
    const ValueId w = body.in(random_tensor(DType::bf16, Shape{32, 32, 3, 3}, 2, -1, 1));
    end(body, wide(body, Op::conv_general, {x, w}, window()), 1, epilogue);
    EXPECT_EQ(check(std::move(body), epilogue & kRounded ? kOneRounding : 1e-5), "onednn.convolution");
  }
}

TEST(CpuNarrowContractions, GradientsOfConvolutionsComeOutWideOrNarrow) {
  for (const bool rounded : {false, true}) {
    Attributes data = window(), filter = window();
    data.set("input_shape", Dims{2, 32, 9, 9});
    filter.set("filter_shape", Dims{32, 32, 3, 3});
    if (!rounded) data.set("dtype", DType::f32), filter.set("dtype", DType::f32);
    Body to_data, to_filter;
    const auto random = [](Body& body, const Shape& shape, unsigned seed) {
      return body.in(random_tensor(DType::bf16, shape, seed, -1, 1));
    };
    const ValueId dy = random(to_data, {2, 32, 9, 9}, 1), w = random(to_data, {32, 32, 3, 3}, 2);
    to_data.out(to_data.b.one(Op::conv_data_grad, {dy, w}, data));
    EXPECT_EQ(check(std::move(to_data), rounded ? kOneRounding : 1e-5), "onednn.convolution_backward_data");
    const ValueId x = random(to_filter, {2, 32, 9, 9}, 3), dz = random(to_filter, {2, 32, 9, 9}, 4);
    to_filter.out(to_filter.b.one(Op::conv_filter_grad, {x, dz}, filter));
    EXPECT_EQ(check(std::move(to_filter), rounded ? kOneRounding : 1e-5), "onednn.convolution_backward_weights");
  }
}

TEST(CpuNarrowContractions, WhatTheLibraryRefusesComesOutWideOrNarrowOfOurLoops) {
  for (const DType type : {DType::f16, DType::bf16})
    for (const bool rounded : {false, true}) {
      Attributes attributes = window();
      attributes.set("pads_low", Dims{3, 1});  // a tap that sees padding only
      attributes.set("filter_shape", Dims{4, 3, 3, 3});
      if (!rounded) attributes.set("dtype", DType::f32);
      Body body;
      const ValueId x = body.in(random_tensor(type, Shape{2, 3, 1, 5}, 1, -1, 1));
      const ValueId dy = body.in(random_tensor(type, Shape{2, 4, 3, 5}, 2, -1, 1));
      body.out(body.b.one(Op::conv_filter_grad, {x, dy}, attributes));
      EXPECT_EQ(check(std::move(body), rounded ? kOneRounding : 1e-5), "loop.contraction");
    }
}

TEST(CpuNarrowContractions, AReluKeepsNan) {
  Body body;
  Tensor x = random_tensor(DType::bf16, Shape{40, 64}, 1);
  x.mutable_values<BFloat16>()[70] = BFloat16(std::nanf(""));
  const ValueId y = body.in(random_tensor(DType::bf16, Shape{64, 33}, 2));
  end(body, wide(body, Op::dot_general, {body.in(x), y}, product()), 1, kRelu | kRounded);
  EXPECT_EQ(check(std::move(body), kOneRounding), "onednn.matmul");
}

}  // namespace
}  // namespace weft
