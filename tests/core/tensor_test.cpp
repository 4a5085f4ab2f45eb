// Tensors are values: a copy does not change when the original is written.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "weft/tensor.hpp"

namespace weft {
namespace {

TEST(Tensor, WritingACopyLeavesTheOriginal) {
  const Tensor a = Tensor::from<float>({2}, {1, 2});
  Tensor b = a;
  b.mutable_values<float>()[0] = 9;
  EXPECT_EQ(a.values<float>()[0], 1);
  EXPECT_FALSE(a.identical(b));
}

TEST(Tensor, CastToIntegerTruncatesAndSaturates) {
  const Tensor t = Tensor::from<float>({5}, {-1.9f, 300.f, -300.f, NAN, 2.9f}).cast(DType::i8);
  const auto v = t.values<std::int8_t>();
  EXPECT_EQ((std::vector<int>(v.begin(), v.end())), (std::vector<int>{-1, 127, -128, 0, 2}));
  EXPECT_EQ(Tensor::scalar(1e30).cast(DType::i64).as_int(0), std::numeric_limits<std::int64_t>::max());
}

TEST(Tensor, ShapesThatOverflowAreTheUsersError) {
  EXPECT_THROW(Shape({1LL << 40, 1LL << 40}), UserError);
  EXPECT_THROW(Shape({-1}), UserError);
}

}  // namespace
}  // namespace weft
