// Statistics of datasets against sums done by hand, and where they are not measured.
#include "src/data/value_statistics.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

namespace weft {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ValueStatistics, ImagesAreMeasuredByChannel) {
  ValueStatistics s(DType::u8, Shape{2, 2, 1, 2});
  // Two additions, as a file is read in pieces: channel 0 holds 1 3 5 7, channel 1 holds 10 10 20 20.
  s.add(Tensor::from<std::uint8_t>(Shape{4}, {1, 3, 10, 10}));
  s.add(Tensor::from<std::uint8_t>(Shape{4}, {5, 7, 20, 20}));
  EXPECT_THAT(s.mean(), ElementsAre(4, 15));
  EXPECT_THAT(s.standard_deviation(), ElementsAre(DoubleNear(std::sqrt(5.0), 1e-12), 5));
  EXPECT_THAT(s.class_counts(), IsEmpty());
}

TEST(ValueStatistics, LargeOffsetsDoNotCancel) {
  ValueStatistics s(DType::f64, Shape{4});
  s.add(Tensor::from<double>(Shape{2}, {1e9 + 1, 1e9 + 2}));
  s.add(Tensor::from<double>(Shape{2}, {1e9 + 3, 1e9 + 4}));
  EXPECT_THAT(s.standard_deviation(), ElementsAre(DoubleNear(std::sqrt(1.25), 1e-6)));
}

TEST(ValueStatistics, NumbersThatAreNotFiniteAreCountedAndLeftOut) {
  ValueStatistics s(DType::f32, Shape{4});
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  s.add(Tensor::from<float>(Shape{4}, {nan, 2, -inf, 4}));
  EXPECT_EQ(s.not_finite(), 2);
  EXPECT_THAT(s.mean(), ElementsAre(3));
  EXPECT_THAT(s.standard_deviation(), ElementsAre(1));
}

TEST(ValueStatistics, LabelsAreCountedAndOtherIntegersAreNot) {
  ValueStatistics labels(DType::i64, Shape{4});
  labels.add(Tensor::from<std::int64_t>(Shape{4}, {0, 2, 2, 3}));
  EXPECT_THAT(labels.class_counts(), ElementsAre(1, 0, 2, 1));
  EXPECT_THAT(labels.mean(), IsEmpty());
  for (const std::int64_t odd : {std::int64_t{-1}, std::int64_t{100'000}}) {
    ValueStatistics s(DType::i64, Shape{2});
    s.add(Tensor::from<std::int64_t>(Shape{2}, {0, odd}));
    EXPECT_THAT(s.class_counts(), IsEmpty());
  }
}

}  // namespace
}  // namespace weft
