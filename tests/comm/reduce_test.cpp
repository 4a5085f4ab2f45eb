// Reductions of host arrays: any number of sources, into one of them, at lengths around the block size.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "comm/reduce.hpp"

namespace weft {
namespace {

template <class T>
std::vector<const std::byte*> pointers(const std::vector<std::vector<T>>& sources) {
  std::vector<const std::byte*> result;
  for (const auto& source : sources) result.push_back(reinterpret_cast<const std::byte*>(source.data()));
  return result;
}

TEST(ReduceSources, SumsInOrderIntoAnySource) {
  for (const std::size_t count : {0u, 1u, 1023u, 1024u, 1025u, 5000u})
    for (std::size_t ranks = 1; ranks <= 5; ++ranks)
      for (std::size_t into = 0; into < ranks; ++into) {
        std::vector<std::vector<float>> sources(ranks, std::vector<float>(count));
        std::vector<float> expected(count);
        for (std::size_t i = 0; i < count; ++i)
          for (std::size_t r = 0; r < ranks; ++r) {
            sources[r][i] = std::sin(static_cast<float>(i * 3 + r)) * std::pow(10.0f, static_cast<float>(r));
            expected[i] = r == 0 ? sources[0][i] : expected[i] + sources[r][i];
          }
        reduce_sources(pointers(sources), reinterpret_cast<std::byte*>(sources[into].data()),
                       static_cast<std::int64_t>(count), DType::f32, ReduceKind::sum);
        ASSERT_EQ(sources[into], expected) << count << " of " << ranks << " into " << into;
      }
}

TEST(ReduceSources, SignedOverflowWrapsAround) {
  std::vector<std::vector<std::int32_t>> sources{{std::numeric_limits<std::int32_t>::max()}, {1}};
  reduce_sources(pointers(sources), reinterpret_cast<std::byte*>(sources[0].data()), 1, DType::i32, ReduceKind::sum);
  EXPECT_EQ(sources[0][0], std::numeric_limits<std::int32_t>::min());
}

TEST(ReduceSources, SixteenBitSumsKeepWhatRoundingEachStepWouldLose) {
  // 256 + 1 + 1 is 258 in f32; rounding to bf16 after each addition would stay at 256.
  std::vector<std::vector<BFloat16>> sources{{BFloat16(256.0f)}, {BFloat16(1.0f)}, {BFloat16(1.0f)}};
  reduce_sources(pointers(sources), reinterpret_cast<std::byte*>(sources[0].data()), 1, DType::bf16, ReduceKind::sum);
  EXPECT_EQ(static_cast<float>(sources[0][0]), 258.0f);
}

TEST(ReduceSources, NanWinsMaximumAndMinimumFromAnyPlace) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const ReduceKind kind : {ReduceKind::max, ReduceKind::min})
    for (std::size_t place = 0; place < 3; ++place) {
      std::vector<std::vector<float>> sources{{1}, {2}, {3}};
      sources[place][0] = nan;
      reduce_sources(pointers(sources), reinterpret_cast<std::byte*>(sources[0].data()), 1, DType::f32, kind);
      EXPECT_TRUE(std::isnan(sources[0][0])) << place;
    }
}

}  // namespace
}  // namespace weft
