// Convolutions of many groups: depthwise ones of any window, and filters of small groups, computed together.
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "kernels/cpu/onednn_merged.hpp"
#include "tests/kernels/cpu/check_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::FixedLayouts;
using testing::random_tensor;

std::int64_t draw(std::mt19937& engine, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(engine);
}

/// Who ran the three directions of a convolution, each compared with the interpreter.
std::vector<std::string> check_directions(const Shape& x, const Shape& w, const ConvWindow& window,
                                          const CpuOptions& options) {
  SCOPED_TRACE(x.str() + w.str());
  Body forward;
  const ValueId v = forward.in(random_tensor(DType::f32, x, 1));
  const ValueId y = forward.b.conv(v, forward.in(random_tensor(DType::f32, w, 2)), window);
  const Shape ys = forward.b.shape(y);
  Attributes data = forward.b.graph().producer(y)->attributes, filter = data;
  forward.out(y);
  data.set("input_shape", x.extents());
  filter.set("filter_shape", w.extents());
  Body by_data, by_filter;
  const ValueId dy = by_data.in(random_tensor(DType::f32, ys, 3));
  by_data.out(by_data.b.one(Op::conv_data_grad, {dy, by_data.in(random_tensor(DType::f32, w, 4))}, data));
  const ValueId x2 = by_filter.in(random_tensor(DType::f32, x, 5));
  by_filter.out(by_filter.b.one(Op::conv_filter_grad, {x2, by_filter.in(random_tensor(DType::f32, ys, 6))}, filter));
  return {check(std::move(forward), 1e-4, options), check(std::move(by_data), 1e-4, options),
          check(std::move(by_filter), 4e-4, options)};
}

TEST(CpuGroupedConvolutions, DepthwiseOnesOfAnyWindowAgreeInEveryIsa) {
  std::mt19937 engine(1);
  constexpr CpuIsa kIsas[] = {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline};
  for (int i = 0; i < 24; ++i) {
    const std::int64_t channels = i % 2 ? 16 * draw(engine, 1, 3) : draw(engine, 16, 40);
    Dims x{draw(engine, 1, 3), channels}, w{channels, 1};
    ConvWindow window;
    window.groups = channels;
    const int spatial = i % 3 + 1;
    for (int d = 0; d < spatial; ++d) {
      window.strides.push_back(draw(engine, 1, 3));
      window.dilations.push_back(draw(engine, 1, 2));
      window.pads_low.push_back(draw(engine, 0, 4));
      window.pads_high.push_back(draw(engine, 0, 4));
      w.push_back(draw(engine, 1, 5));
      x.push_back((w.back() - 1) * window.dilations.back() + 2 + draw(engine, 0, spatial == 3 ? 3 : 18));
    }
    const auto ran = check_directions(Shape(x), Shape(w), window, {i % 3 + 1, kIsas[i / 3 % 3], true});
    if (spatial != 2) {
      EXPECT_EQ(ran, std::vector<std::string>(3, "loop.depthwise"));
    }
  }
}

TEST(CpuGroupedConvolutions, DepthwiseOnesTakeChannelsInBlocksAndLast) {
  const Shape x{2, 32, 40};
  for (const Layout& layout : {Layout::blocked(x, {{1, 16}}), Layout::permuted(x, {0, 2, 1})}) {
    Body body;
    const ValueId v = body.in(random_tensor(DType::f32, x, 1));
    body.out(body.b.conv(v, body.in(random_tensor(DType::f32, Shape{32, 1, 9}, 2)), {{1}, {4}, {4}, {1}, 32}));
    EXPECT_EQ(check(std::move(body), 1e-5, {2, CpuIsa::automatic, true}, {{{0, layout}}, {{0, layout}}}),
              "loop.depthwise");
  }
}

TEST(CpuGroupedConvolutions, FiltersOfSmallGroupsAreComputedTogether) {
  const ConvWindow window{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 8};
  EXPECT_EQ(check_directions(Shape{2, 32, 7, 9}, Shape{32, 4, 3, 3}, window, {2, CpuIsa::automatic, true})[2],
            "onednn.merged_groups");
  const ConvWindow doubled{{2, 1}, {1, 0}, {1, 2}, {1, 2}, 16};
  EXPECT_EQ(check_directions(Shape{2, 16, 9, 11}, Shape{32, 1, 3, 3}, doubled, {3, CpuIsa::automatic, true})[2],
            "onednn.merged_groups");
}

TEST(CpuGroupedConvolutions, NothingButItsOwnGroupReachesAFilterOrAChannel) {
  Tensor x = random_tensor(DType::f32, Shape{2, 32, 6, 6}, 1);
  x.mutable_values<float>()[5] = std::numeric_limits<float>::quiet_NaN();  // channel 0
  const Shape w{64, 1, 3, 3};
  Body forward;
  const ValueId v = forward.in(x);
  const ValueId y =
      forward.b.conv(v, forward.in(random_tensor(DType::f32, w, 2)), {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 32});
  Attributes attributes = forward.b.graph().producer(y)->attributes;
  const Shape ys = forward.b.shape(y);
  forward.out(y);
  check(std::move(forward), 1e-4);  // the interpreter has NaN in channels 0 and 1 only
  attributes.set("filter_shape", w.extents());
  Body filter;
  const ValueId x2 = filter.in(x);
  filter.out(filter.b.one(Op::conv_filter_grad, {x2, filter.in(random_tensor(DType::f32, ys, 3))}, attributes));
  EXPECT_EQ(check(std::move(filter), 1e-3), "onednn.merged_groups");
}

TEST(CpuGroupedConvolutions, GroupsAreMergedOnlyIntoWholeBlocksOfChannels) {
  EXPECT_EQ(cpu::groups_to_merge(32, 4, 4), 4);
  EXPECT_EQ(cpu::groups_to_merge(64, 1, 2), 16);
  EXPECT_EQ(cpu::groups_to_merge(3, 20, 20), 0);
  EXPECT_EQ(cpu::groups_to_merge(8, 16, 32), 0);
  EXPECT_EQ(cpu::groups_to_merge(6, 4, 4), 0);
  EXPECT_EQ(cpu::groups_to_merge(1, 4, 4), 0);
}

}  // namespace
}  // namespace weft
