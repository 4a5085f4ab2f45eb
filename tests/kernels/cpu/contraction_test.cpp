// Contractions that the library refuses, over random dimensions, types, windows and layouts.
#include <gtest/gtest.h>

#include <random>

#include "tests/kernels/cpu/check_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::FixedLayouts;
using testing::random_tensor;

std::int64_t roll(std::mt19937& engine, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(engine);
}

double tolerance_of(DType type) {
  return type == DType::f16 ? 2e-3 : type == DType::bf16 ? 1.6e-2 : type == DType::f32 ? 1e-5 : 1e-12;
}

double low_of(DType type) { return is_float(type) || is_signed_integer(type) ? -2 : 0; }

constexpr DType kDotTypes[] = {DType::f64, DType::f16, DType::i64, DType::i32, DType::i16, DType::i8, DType::u8};

TEST(CpuContractions, ProductsOfEveryTypeOverBatchAndContractedDimensionsOfAnyLayoutAgree) {
  std::mt19937 engine(1);
  for (int i = 0; i < 60; ++i) {
    const DType type = kDotTypes[i % 7];
    const std::int64_t b0 = roll(engine, 1, 3), m0 = roll(engine, 0, 40), m1 = roll(engine, 1, 3),
                       n = roll(engine, 1, 70), k0 = roll(engine, 0, 30), k1 = roll(engine, 1, 12);
    Body body;
    const ValueId x = body.in(random_tensor(type, Shape{m0, k1, b0, m1, k0}, 1, low_of(type), 3));
    const ValueId y = body.in(random_tensor(type, Shape{k0, n, k1, b0}, 2, low_of(type), 3));
    body.out(body.b.dot(x, y, {2}, {3}, {4, 1}, {0, 2}));
    FixedLayouts fixed;
    const Graph& g = body.b.graph();
    if (i % 3 == 1) fixed.inputs[0] = Layout::permuted(g.type(x).shape, {3, 1, 4, 0, 2});
    if (i % 3 == 2) {
      fixed.inputs[0] = Layout::blocked(g.type(x).shape, {{4, 8}});
      fixed.outputs[0] = Layout::permuted(g.type(g.outputs()[0].value).shape, {3, 1, 0, 2});
    }
    EXPECT_EQ(check(std::move(body), tolerance_of(type), {i % 4 + 1, CpuIsa::automatic, true}, fixed),
              "loop.contraction");
  }
}

TEST(CpuContractions, EveryIsaGivesTheSameProducts) {
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
    for (const DType type : {DType::f64, DType::f16, DType::i32, DType::i64}) {
      Body body;
      const ValueId x = body.in(random_tensor(type, Shape{131, 300}, 1, -2, 2));
      body.out(body.b.matmul(x, body.in(random_tensor(type, Shape{300, 77}, 2, -2, 2))));
      EXPECT_EQ(check(std::move(body), tolerance_of(type), {2, isa, true}), "loop.contraction");
    }
}

TEST(CpuContractions, ProductsWithoutElementsToSumAreZero) {
  for (const Shape& x : {Shape{3, 0}, Shape{0, 5}, Shape{0, 0}}) {
    Body body;
    const ValueId a = body.in(random_tensor(DType::f32, x, 1));
    body.out(body.b.matmul(a, body.in(random_tensor(DType::f32, Shape{x[1], 4}, 2))));
    EXPECT_EQ(check(std::move(body)), "loop.contraction");
  }
}

/// A random convolution that fits; `crop` allows negative padding.
ConvWindow random_window(std::mt19937& engine, Dims& x, Dims& w, bool crop) {
  ConvWindow window;
  window.groups = roll(engine, 1, 3);
  x = {roll(engine, 1, 3), window.groups * roll(engine, 1, 4)};
  w = {window.groups * roll(engine, 1, 5), x[1] / window.groups};
  for (std::int64_t d = roll(engine, 1, 3); d > 0; --d) {
    window.strides.push_back(roll(engine, 1, 3));
    window.dilations.push_back(roll(engine, 1, 2));
    window.pads_low.push_back(roll(engine, crop ? -2 : 0, 3));
    window.pads_high.push_back(roll(engine, crop ? -2 : 0, 3));
    w.push_back(roll(engine, 1, 3));
    x.push_back((w.back() - 1) * window.dilations.back() + 5 + roll(engine, 0, 4));
  }
  return window;
}

TEST(CpuContractions, ConvolutionsAndTheirGradientsAgreeForAnyWindow) {
  std::mt19937 engine(2);
  for (int i = 0; i < 60; ++i) {
    Dims xs, ws;
    const bool crop = i % 3 == 0;
    const ConvWindow window = random_window(engine, xs, ws, crop);
    const DType type = crop ? DType::f32 : i % 3 == 1 ? DType::f64 : DType::f16;
    const bool library = type == DType::f32;  // takes what is not cropped
    const Shape x{xs}, w{ws};
    SCOPED_TRACE(x.str() + w.str());
    Body forward;
    const ValueId v = forward.in(random_tensor(type, x, 1));
    const ValueId y = forward.b.conv(v, forward.in(random_tensor(type, w, 2)), window);
    const Shape ys = forward.b.shape(y);
    Attributes data = forward.b.graph().producer(y)->attributes, filter = data;
    forward.out(y);
    FixedLayouts fixed;
    if (i % 2) {
      Dims order{0};
      for (int d = 2; d < x.rank(); ++d) order.push_back(d);
      order.push_back(1);
      fixed = {{{0, Layout::permuted(x, order)}}, {{0, Layout::permuted(ys, order)}}};
    }
    const CpuOptions options{i % 3 + 1, CpuIsa::automatic, true};
    const double tolerance = 4 * tolerance_of(type);
    const std::string first = check(std::move(forward), tolerance, options, fixed);
    if (!library) {
      EXPECT_EQ(first, "loop.contraction");
    }
    data.set("input_shape", x.extents());
    Body by_data;
    const ValueId dy = by_data.in(random_tensor(type, ys, 3));
    by_data.out(by_data.b.one(Op::conv_data_grad, {dy, by_data.in(random_tensor(type, w, 4))}, data));
    const std::string second = check(std::move(by_data), tolerance, options);
    if (!library) {
      EXPECT_EQ(second, "loop.contraction");
    }
    filter.set("filter_shape", w.extents());
    Body by_filter;
    const ValueId x2 = by_filter.in(random_tensor(type, x, 5));
    by_filter.out(by_filter.b.one(Op::conv_filter_grad, {x2, by_filter.in(random_tensor(type, ys, 6))}, filter));
    const std::string third = check(std::move(by_filter), 4 * tolerance, options);
    if (!library) {
      EXPECT_EQ(third, "loop.contraction");
    }
  }
}

TEST(CpuContractions, ConvolutionsOfBlockedImagesAndOfNoSamplesAgree) {
  const ConvWindow window{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 2};
  for (const std::int64_t samples : {0, 2}) {
    const Shape x{samples, 8, 6, 7};
    Body body;
    const ValueId v = body.in(random_tensor(DType::f64, x, 1));
    body.out(body.b.conv(v, body.in(random_tensor(DType::f64, Shape{4, 4, 3, 3}, 2)), window));
    EXPECT_EQ(check(std::move(body), 1e-12, {2, CpuIsa::automatic, true}, {{{0, Layout::blocked(x, {{1, 4}})}}, {}}),
              "loop.contraction");
  }
}

/// Rows of channels are blocked, channels-last and row-major at once; the library has fast code for the first only.
TEST(CpuContractions, ConvolutionsOfOnePixelImagesTakeTheLibraryInWhateverLayoutTheImagesCame) {
  const Shape x{2, 32, 1, 1}, w{64, 32, 3, 3}, y{2, 64, 1, 1};
  const ConvWindow window{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
  for (const bool blocked : {false, true}) {
    const auto layout = [&](const Shape& s) { return blocked ? Layout::blocked(s, {{1, 16}}) : Layout::dense(s); };
    Body body;
    const ValueId v = body.in(random_tensor(DType::f32, x, 1));
    body.out(body.b.conv(v, body.in(random_tensor(DType::f32, w, 2)), window));
    EXPECT_EQ(check(std::move(body), 1e-5, {2, CpuIsa::automatic, true}, {{{0, layout(x)}}, {{0, layout(y)}}}),
              "onednn.convolution");
  }
}

/// The library writes nothing there.
TEST(CpuContractions, TapsOfAFilterThatSeePaddingOnlyHaveAGradientOfZero) {
  for (const DType type : {DType::f32, DType::bf16}) {
    Body body;
    const ValueId x = body.in(random_tensor(type, Shape{9, 2, 6, 2}, 1));
    const ValueId dy = body.in(random_tensor(type, Shape{9, 1, 5, 1}, 2));
    body.out(body.b.one(Op::conv_filter_grad, {x, dy},
                        {{"strides", Dims{1, 3}},
                         {"pads_low", Dims{0, 1}},
                         {"pads_high", Dims{1, 2}},
                         {"dilations", Dims{1, 1}},
                         {"groups", std::int64_t{1}},
                         {"filter_shape", Dims{1, 2, 3, 4}}}));
    EXPECT_EQ(check(std::move(body), 40 * testing::tolerance_of(type)), "loop.contraction");
  }
}

/// The library has another kernel, of other needs, for the layouts that it chose than for open ones.
TEST(CpuContractions, ScratchIsPlannedForTheLayoutsThatWereChosen) {
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, Shape{1, 1, 1, 1}, 1));
  const ValueId dy = body.in(random_tensor(DType::f32, Shape{1, 1, 2, 1}, 2));
  body.out(body.b.one(Op::conv_filter_grad, {x, dy},
                      {{"strides", Dims{2, 1}},
                       {"pads_low", Dims{1, 0}},
                       {"pads_high", Dims{2, 0}},
                       {"dilations", Dims{1, 1}},
                       {"groups", std::int64_t{1}},
                       {"filter_shape", Dims{1, 1, 2, 1}}}));
  check(std::move(body), 1e-5, {1, CpuIsa::automatic, true});
}

}  // namespace
}  // namespace weft
