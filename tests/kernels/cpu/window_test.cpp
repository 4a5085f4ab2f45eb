// Windowed reductions and their gradients with contiguous channels, where whole rows of windows are done at once.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/cpu/cpu_device.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::random_tensor;

Layout channels_last(const Shape& shape) {
  Dims order{0};
  for (int d = 2; d < shape.rank(); ++d) order.push_back(d);
  order.push_back(1);
  return Layout::permuted(shape, order);
}

/// Forward and backward of `op`, the narrow side in `narrow(its shape)`.
void check_both(Op op, const Tensor& x, const PoolWindow& window, const Layout& wide, Layout (*narrow)(const Shape&),
                const CpuOptions& options = {2, CpuIsa::automatic, true}) {
  SCOPED_TRACE(wide.str() + std::string(name_of(op)));
  Body forward;
  const ValueId y = forward.b.pool(op, forward.in(x), window);
  const Shape ys = forward.b.shape(y);
  Attributes a = forward.b.graph().producer(y)->attributes;
  forward.out(y);
  EXPECT_EQ(check(std::move(forward), 2e-6, options, {{{0, wide}}, {{0, narrow(ys)}}}), "generated");
  Body backward;
  const Tensor dy = random_tensor(DType::f32, ys, 2);
  if (op == Op::reduce_window_max) {
    const ValueId x2 = backward.in(x), dy2 = backward.in(dy);
    backward.out(backward.b.one(Op::reduce_window_max_grad, {x2, dy2}, a));
    EXPECT_EQ(check(std::move(backward), 2e-6, options, {{{0, wide}, {1, narrow(ys)}}, {}}), "generated");
  } else {
    a.set("input_shape", x.shape().extents());
    backward.out(backward.b.one(Op::reduce_window_sum_grad, {backward.in(dy)}, a));
    EXPECT_EQ(check(std::move(backward), 2e-6, options, {{{0, narrow(ys)}}, {{0, wide}}}), "generated");
  }
}

const PoolWindow kOverlapping{{1, 1, 3, 3}, {1, 1, 2, 2}, {0, 0, 1, 1}, {0, 0, 1, 1}, {1, 1, 1, 1}};

TEST(CpuWindows, TheNarrowSideMayLieRowMajorBesideAWideSideWithContiguousChannels) {
  const Shape shape{3, 32, 9, 11};
  // Few distinct values: ties must go to the first.
  const Tensor x = random_tensor(DType::f32, shape, 1, -3, 3).cast(DType::i32).cast(DType::f32);
  for (const Op op : {Op::reduce_window_max, Op::reduce_window_sum})
    for (const Layout& wide :
         {Layout::blocked(shape, {{1, 16}}), Layout::blocked(shape, {{1, 8}}), channels_last(shape)})
      check_both(op, x, kOverlapping, wide, [](const Shape& s) { return Layout::dense(s); });
}

TEST(CpuWindows, AGradientIsNotOfferedInAnotherLayoutThanItsOperand) {
  const Shape shape{2, 32, 6, 6};
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, shape});
  const ValueId y = b.input("y", InputRole::feed, {DType::f32, Shape{2, 32, 3, 3}});
  const Attributes a{{"window", kOverlapping.window},
                     {"strides", kOverlapping.strides},
                     {"pads_low", kOverlapping.pads_low},
                     {"pads_high", kOverlapping.pads_high},
                     {"dilations", kOverlapping.dilations}};
  const ValueId dx = b.one(Op::reduce_window_max_grad, {x, y}, a);
  b.output("dx", OutputRole::fetch, dx);
  Graph body = b.graph();
  body.value(x).layout = Layout::blocked(shape, {{1, 16}});
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  EXPECT_TRUE(device->oracle().ask(body).offer.has_value());
  body.value(dx).layout = Layout::dense(shape);
  EXPECT_FALSE(device->oracle().ask(body).offer.has_value());
}

TEST(CpuWindows, ChannelsThatDoNotFillVectorsAndManySlicesOfThemAgree) {
  for (const std::int64_t channels : {1, 3, 20, 300, 515}) {
    const Shape shape{2, channels, 6, 5};
    for (const Op op : {Op::reduce_window_max, Op::reduce_window_sum})
      check_both(op, random_tensor(DType::f32, shape, 1), kOverlapping, channels_last(shape), channels_last);
  }
}

TEST(CpuWindows, OneAndThreeWindowedDimensionsDilatedAndCroppedByPaddingAgree) {
  const Shape line{2, 16, 23}, cube{2, 16, 5, 6, 7};
  for (const CpuIsa isa : {CpuIsa::automatic, CpuIsa::avx2, CpuIsa::baseline})
    for (const Op op : {Op::reduce_window_max, Op::reduce_window_sum}) {
      check_both(op, random_tensor(DType::f32, line, 1), {{1, 1, 4}, {1, 1, 3}, {0, 0, 3}, {0, 0, 2}, {1, 1, 2}},
                 channels_last(line), channels_last, {2, isa, true});
      check_both(op, random_tensor(DType::f32, cube, 1),
                 {{1, 1, 2, 3, 2}, {1, 1, 1, 2, 2}, {0, 0, 1, 2, 0}, {0, 0, 0, 1, 1}, {1, 1, 2, 1, 1}},
                 channels_last(cube), channels_last, {3, isa, true});
    }
}

TEST(CpuWindows, PaddedChannelsStayZeroInEveryOperatorAndType) {
  const auto blocks = [](const Shape& s) { return Layout::blocked(s, {{1, 16}}); };
  for (const std::int64_t channels : {3, 5, 20, 24}) {
    const Shape shape{2, channels, 7, 6};
    for (const Op op : {Op::reduce_window_max, Op::reduce_window_sum})
      check_both(op, random_tensor(DType::f32, shape, 1, -3, -1), kOverlapping, blocks(shape), blocks);
  }
}

// Windows that meet edges on both sides at once, that skip elements, and that tile their operand.
TEST(CpuWindows, AnyWindowAgreesInBlocksLastAndRowMajor) {
  const Shape shape{2, 48, 8, 6};
  const PoolWindow windows[] = {
      {{1, 1, 2, 3}, {1, 1, 2, 3}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}},   // tiles
      {{1, 1, 9, 7}, {1, 1, 1, 1}, {0, 0, 4, 3}, {0, 0, 4, 3}, {1, 1, 1, 1}},   // larger than the operand
      {{1, 1, 2, 1}, {1, 1, 3, 4}, {0, 0, 1, 0}, {0, 0, 0, 0}, {1, 1, 2, 1}},   // leaves elements out
      {{1, 1, 3, 20}, {1, 1, 1, 1}, {0, 0, 1, 9}, {0, 0, 1, 10}, {1, 1, 1, 1}}  // too long to be unrolled
  };
  const auto row = [](const Shape& s) { return Layout::dense(s); };
  const auto blocks = [](const Shape& s) { return Layout::blocked(s, {{1, 16}}); };
  const Tensor x = random_tensor(DType::f32, shape, 3, -3, 3).cast(DType::i32).cast(DType::f32);
  for (const PoolWindow& window : windows)
    for (const Op op : {Op::reduce_window_max, Op::reduce_window_sum}) {
      check_both(op, x, window, blocks(shape), blocks);
      check_both(op, x, window, channels_last(shape), channels_last, {3, CpuIsa::avx2, true});
      check_both(op, x, window, row(shape), row);
      check_both(op, x, window, channels_last(shape), row);
    }
}

TEST(CpuWindows, AGradientMayLieOverTheOperandThatItsWindowsTile) {
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const Shape shape{3, 32, 6, 8};
  const Tensor x = random_tensor(DType::f32, shape, 1), dy = random_tensor(DType::f32, Shape{3, 32, 3, 4}, 2);
  for (const Layout& layout : {Layout::dense(shape), Layout::blocked(shape, {{1, 16}}), channels_last(shape)}) {
    Body body;
    const ValueId in = body.in(x), grad = body.in(dy);
    body.out(body.b.one(Op::reduce_window_max_grad, {in, grad},
                        {{"window", Dims{1, 1, 2, 2}},
                         {"strides", Dims{1, 1, 2, 2}},
                         {"pads_low", Dims{0, 0, 0, 0}},
                         {"pads_high", Dims{0, 0, 0, 0}},
                         {"dilations", Dims{1, 1, 1, 1}}}));
    Graph graph = body.b.graph();
    graph.value(in).layout = layout;
    EXPECT_TRUE(device->oracle().ask(graph).offer->spec.overwrites_operands);
    const Tensor apart = testing::run_body(*device, graph, {x, dy})[0];
    testing::expect_close(testing::run_body(*device, graph, {x, dy}, nullptr, {{0, 0}})[0], apart, 0, layout.str());
  }
}

/// A gradient in 16 bits is that in f32, rounded once.
void check_rounded_once(DType type, const Shape& shape, const PoolWindow& window, const Layout& wide) {
  SCOPED_TRACE(wide.str());
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  for (const Op op : {Op::reduce_window_max, Op::reduce_window_sum}) {
    const auto gradient = [&](DType as) {
      Body body;
      const Tensor x = random_tensor(DType::f32, shape, 1).cast(type).cast(as);
      const ValueId in = body.in(x), y = body.b.pool(op, in, window);
      Attributes a = body.b.graph().producer(y)->attributes;
      Body backward;
      const Tensor dy = random_tensor(DType::f32, body.b.shape(y), 2).cast(type).cast(as);
      if (op == Op::reduce_window_sum) a.set("input_shape", shape.extents());
      std::vector<ValueId> operands = {backward.in(op == Op::reduce_window_sum ? dy : x)};
      if (op == Op::reduce_window_max) operands.push_back(backward.in(dy));
      const ValueId dx = backward.b.one(
          op == Op::reduce_window_max ? Op::reduce_window_max_grad : Op::reduce_window_sum_grad, operands, a);
      backward.out(dx);
      Graph graph = backward.b.graph();
      graph.value(dx).layout = wide;
      return testing::run_body(*device, graph, backward.values)[0];
    };
    testing::expect_close(gradient(type), gradient(DType::f32).cast(type), 0, std::string(name_of(op)));
  }
}

TEST(CpuWindows, GradientsOf16BitsAreRoundedOnceWhereWindowsOverlap) {
  const Shape shape{2, 32, 9, 11}, ragged{2, 20, 7, 6}, large{1, 2, 600, 500};
  const PoolWindow dense{{1, 1, 4, 3}, {1, 1, 1, 1}, {0, 0, 2, 1}, {0, 0, 1, 1}, {1, 1, 1, 1}};
  for (const DType type : {DType::bf16, DType::f16})
    for (const PoolWindow& window : {kOverlapping, dense})
      for (const Shape& s : {shape, ragged})
        for (const Layout& wide : {Layout::dense(s), Layout::blocked(s, {{1, 16}}), channels_last(s)})
          check_rounded_once(type, s, window, wide);
  check_rounded_once(DType::bf16, large, kOverlapping, Layout::dense(large));
  check_rounded_once(DType::bf16, large, kOverlapping, channels_last(large));
}

TEST(CpuWindows, NotANumberWinsEveryWindowThatHoldsIt) {
  const Shape shape{1, 16, 8, 8};
  Tensor x = random_tensor(DType::f32, shape, 1);
  for (const int i : {3, 70, 500, 501, 900}) x.mutable_values<float>()[i] = std::numeric_limits<float>::quiet_NaN();
  x.mutable_values<float>()[64] = -std::numeric_limits<float>::infinity();
  check_both(Op::reduce_window_max, x, kOverlapping, channels_last(shape), channels_last);
}

}  // namespace
}  // namespace weft
