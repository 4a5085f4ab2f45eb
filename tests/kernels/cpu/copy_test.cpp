// Movements of elements, between random layouts of random shapes and types, bit for bit against the interpreter.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "tests/kernels/cpu/check_body.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::FixedLayouts;
using testing::random_tensor;

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  /// Between `low` and `high`, both included.
  std::int64_t roll(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  Dims rolls(int count, std::int64_t low, std::int64_t high) {
    Dims result;
    for (int i = 0; i < count; ++i) result.push_back(roll(low, high));
    return result;
  }
  Dims order(int rank) {
    Dims result(static_cast<std::size_t>(rank));
    std::iota(result.begin(), result.end(), 0);
    std::shuffle(result.begin(), result.end(), engine_);
    return result;
  }
  /// Extents of 1 are likely, of 0 rare.
  Shape shape(int rank) {
    Dims extents;
    for (int d = 0; d < rank; ++d) extents.push_back(roll(0, 9) == 0 ? roll(0, 1) : roll(1, 20));
    return Shape(std::move(extents));
  }
  DType type() {
    constexpr DType kDrawn[] = {DType::f64, DType::f32, DType::f16, DType::bf16,
                                DType::i64, DType::i32, DType::u8,  DType::boolean};
    return kDrawn[roll(0, 7)];
  }
  /// Row-major, permuted, with gaps, blocked once or twice.
  Layout layout(const Shape& shape) {
    const std::int64_t kind = roll(0, 4);
    if (shape.rank() == 0 || kind == 0) return Layout::dense(shape);
    Layout result = Layout::permuted(shape, order(shape.rank()));
    if (kind == 1) return result;
    if (kind == 2) {
      for (std::int64_t& s : result.strides) s *= 3;
      return result;
    }
    const auto block = [&] { return Layout::Block{static_cast<int>(roll(0, shape.rank() - 1)), roll(2, 9)}; };
    if (kind == 3) return Layout::blocked(shape, {block()});
    return Layout::blocked(shape, {block(), block()});
  }

 private:
  std::mt19937 engine_;
};

/// Random layouts for some of the body's values; the others stay free.
FixedLayouts some_layouts(Dice& dice, const Body& body) {
  FixedLayouts fixed;
  const Graph& g = body.b.graph();
  for (std::size_t i = 0; i < g.inputs().size(); ++i)
    if (dice.roll(0, 2) > 0) fixed.inputs[static_cast<int>(i)] = dice.layout(g.type(g.inputs()[i].value).shape);
  if (dice.roll(0, 2) > 0) fixed.outputs[0] = dice.layout(g.type(g.outputs()[0].value).shape);
  return fixed;
}

void check_copy(Dice& dice, Body body, const std::string& or_by = "loop.copy") {
  const FixedLayouts fixed = some_layouts(dice, body);
  std::string trace;
  for (const auto& [i, layout] : fixed.inputs) trace += "input " + std::to_string(i) + " " + layout.str() + "\n";
  for (const auto& [i, layout] : fixed.outputs) trace += "output " + layout.str() + "\n";
  SCOPED_TRACE(trace + body.b.graph().str());
  const std::string by = check(std::move(body), 0, {2, CpuIsa::automatic, true}, fixed);
  EXPECT_TRUE(by == "loop.copy" || by == or_by) << by;
}

TEST(CpuCopies, ReordersBetweenAnyTwoLayoutsKeepEveryElement) {
  Dice dice(1);
  for (int i = 0; i < 120; ++i) {
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(0, 4)));
    body.out(body.b.one(Op::reorder, {body.in(random_tensor(dice.type(), shape, 3, 0, 99))}));
    check_copy(dice, std::move(body), "onednn.reorder");
  }
}

TEST(CpuCopies, TransposesReadWhereTheOrderSays) {
  Dice dice(2);
  for (int i = 0; i < 80; ++i) {
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(1, 4)));
    body.out(body.b.transpose(body.in(random_tensor(dice.type(), shape, 3, 0, 99)), dice.order(shape.rank())));
    check_copy(dice, std::move(body));
  }
}

TEST(CpuCopies, SlicesTakeEveryStrideFromTheirStartToTheirLimit) {
  Dice dice(3);
  for (int i = 0; i < 80; ++i) {
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(1, 4)));
    Dims start, limit;
    for (const std::int64_t e : shape) {
      start.push_back(dice.roll(0, e));
      limit.push_back(dice.roll(start.back(), e));
    }
    body.out(body.b.slice(body.in(random_tensor(dice.type(), shape, 3, 0, 99)), start, limit,
                          dice.rolls(shape.rank(), 1, 4)));
    check_copy(dice, std::move(body));
  }
}

TEST(CpuCopies, PadsFillCropAndSpread) {
  Dice dice(4);
  for (int i = 0; i < 120; ++i) {
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(1, 4)));
    const DType type = dice.type();
    const Dims interior = dice.rolls(shape.rank(), 0, 3);
    Dims low, high;
    for (int d = 0; d < shape.rank(); ++d) {
      const std::int64_t e = std::max<std::int64_t>(shape[d] - 1, 0) * interior[static_cast<std::size_t>(d)] + shape[d];
      low.push_back(dice.roll(-e, 5));
      high.push_back(dice.roll(-(e + low.back()), 5));
    }
    const ValueId x = body.in(random_tensor(type, shape, 3, 0, 99));
    const ValueId value = dice.roll(0, 1) ? body.in(random_tensor(type, Shape{}, 4, 0, 99)) : body.b.full(type, {}, 7);
    body.out(body.b.pad(x, value, low, high, interior));
    check_copy(dice, std::move(body));
  }
}

TEST(CpuCopies, ConcatenationsPutTheirPartsOneAfterAnother) {
  Dice dice(5);
  for (int i = 0; i < 80; ++i) {
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(1, 4)));
    const DType type = dice.type();
    const int axis = static_cast<int>(dice.roll(0, shape.rank() - 1));
    std::vector<ValueId> parts;
    for (std::int64_t p = dice.roll(1, 4); p > 0; --p)
      parts.push_back(
          body.in(random_tensor(type, shape.with(axis, dice.roll(0, 20)), static_cast<unsigned>(p), 0, 99)));
    body.out(body.b.concat(parts, axis));
    check_copy(dice, std::move(body));
  }
}

TEST(CpuCopies, ReversalsRunBackwards) {
  Dice dice(6);
  for (int i = 0; i < 100; ++i) {
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(1, 4)));
    Dims dims = dice.order(shape.rank());
    dims.resize(static_cast<std::size_t>(dice.roll(0, shape.rank())));
    body.out(
        body.b.one(Op::reverse, {body.in(random_tensor(dice.type(), shape, 3, 0, 99))}, {{"dims", std::move(dims)}}));
    check_copy(dice, std::move(body));
  }
}

TEST(CpuCopies, BroadcastsRepeatAlongNewAndStretchedDimensions) {
  Dice dice(7);
  for (int i = 0; i < 80; ++i) {
    Body body;
    const Shape shape = dice.shape(static_cast<int>(dice.roll(1, 4)));
    Dims extents, dims;
    for (int d = 0; d < shape.rank(); ++d)
      if (dice.roll(0, 2) > 0) {
        dims.push_back(d);
        extents.push_back(dice.roll(0, 2) > 0 ? shape[d] : 1);
      }
    body.out(
        body.b.broadcast_in(body.in(random_tensor(dice.type(), Shape(std::move(extents)), 3, 0, 99)), shape, dims));
    check_copy(dice, std::move(body));
  }
}

TEST(CpuCopies, ReshapesKeepRowMajorOrderWhateverTheLayouts) {
  Dice dice(8);
  const std::vector<Shape> shapes = {{6, 20, 7, 7}, {6, 980},     {120, 49},    {5880},      {3, 2, 4, 5, 49},
                                     {49, 120},     {40, 147, 1}, {1, 12, 490}, {7, 7, 120}, {6, 1, 20, 49}};
  for (int i = 0; i < 80; ++i) {
    Body body;
    const Shape& from = shapes[static_cast<std::size_t>(dice.roll(0, 9))];
    const Shape& to = shapes[static_cast<std::size_t>(dice.roll(0, 9))];
    body.out(body.b.one(Op::reshape, {body.in(random_tensor(dice.type(), from, 3, 0, 99))}, {{"shape", to.extents()}}));
    check_copy(dice, std::move(body));
  }
}

TEST(CpuCopies, LargeCopiesAreCutEvenlyOverTheTeam) {
  const Shape shape{2, 20, 33, 35};
  for (const Layout& from :
       {Layout::dense(shape), Layout::permuted(shape, {0, 2, 3, 1}), Layout::blocked(shape, {{1, 16}})})
    for (const Layout& to : {Layout::dense(shape), Layout::permuted(shape, {0, 2, 3, 1}),
                             Layout::blocked(shape, {{1, 16}}), Layout::blocked(shape, {{0, 16}, {1, 16}})})
      for (const int threads : {1, 3}) {
        Body body;
        body.out(body.b.one(Op::reorder, {body.in(random_tensor(DType::f32, shape, 3))}));
        SCOPED_TRACE(from.str() + " to " + to.str());
        const std::string by = check(std::move(body), 0, {threads, CpuIsa::automatic, true}, {{{0, from}}, {{0, to}}});
        EXPECT_TRUE(by == "loop.copy" || by == "onednn.reorder") << by;
      }
}

TEST(CpuCopies, TheLibraryReordersFiltersIntoAndOutOfBlocks) {
  const Shape shape{40, 24, 3, 3};  // padded to whole blocks
  for (const Layout& blocked : {Layout::blocked(shape, {{1, 16}, {0, 16}}), Layout::blocked(shape, {{0, 16}, {1, 16}})})
    for (const bool into : {true, false}) {
      Body body;
      Tensor x = random_tensor(DType::f32, shape, 3);
      x.mutable_values<float>()[7] = std::numeric_limits<float>::quiet_NaN();
      x.mutable_values<float>()[8] = std::numeric_limits<float>::denorm_min();
      body.out(body.b.one(Op::reorder, {body.in(x)}));
      const Layout dense = Layout::dense(shape);
      EXPECT_EQ(check(std::move(body), 0, {2, CpuIsa::automatic, true},
                      {{{0, into ? dense : blocked}}, {{0, into ? blocked : dense}}}),
                "onednn.reorder");
    }
}

TEST(CpuCopies, WhatIsPaddedFromARowMajorOperandIsRowMajorAlsoWhereAnExtentWas1) {
  Body body;
  const ValueId x = body.in(random_tensor(DType::f32, {2, 1, 8}, 3)), zero = body.b.full(DType::f32, {}, 0);
  body.out(body.b.pad(x, zero, {0, 0, 0}, {0, 4, 0}, {0, 0, 0}));
  Graph graph = body.b.graph();
  graph.value(x).layout = Layout::dense({2, 1, 8});
  const auto device = make_cpu_device({2, CpuIsa::automatic, true});
  const KernelAnswer answer = device->oracle().ask(graph);
  ASSERT_TRUE(answer.offer);
  const Graph& offered = answer.offer->spec.body;
  EXPECT_TRUE(offered.value(offered.outputs()[0].value).layout->is_row_major());
}

TEST(CpuCopies, ConstantsOfManyElementsAreWrittenOut) {
  Dice dice(9);
  for (int i = 0; i < 30; ++i) {
    Body body;
    body.out(body.b.constant(random_tensor(dice.type(), dice.shape(static_cast<int>(dice.roll(0, 3))), 3, 0, 99)));
    check_copy(dice, std::move(body));
  }
}

}  // namespace
}  // namespace weft
