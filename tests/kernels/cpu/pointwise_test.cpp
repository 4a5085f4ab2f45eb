// Elementwise bodies: every operator of every type has a kernel, and results may lie over operands.
#include <gtest/gtest.h>

#include "graph/ir/interpret.hpp"
#include "tests/kernels/cpu/check_body.hpp"
#include "tests/kernels/cpu/run_body.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using testing::Body;
using testing::check;
using testing::random_tensor;
using testing::run_body;

/// A body of `op` over operands of `type`, or nothing when the operator table refuses the type.
std::optional<Body> body_of(Op op, DType type) {
  Body body;
  const Shape shape{3, 50};
  const double low = is_float(type) || is_signed_integer(type) ? -3 : 0;
  const auto in = [&](unsigned seed) { return body.in(random_tensor(type, shape, seed, low, 5)); };
  try {
    switch (class_of(op)) {
      case OpClass::unary:
      case OpClass::composite: {
        Attributes attributes;
        if (op == Op::gelu) attributes.set("approximate", std::string("none"));
        if (op == Op::cast) return std::nullopt;  // its own test
        body.out(body.b.one(op, {in(1)}, attributes));
        break;
      }
      case OpClass::binary:
      case OpClass::compare: {
        const ValueId x = in(1);
        body.out(body.b.one(op, {x, in(2)}));
        break;
      }
      case OpClass::ternary: {
        const ValueId c = body.in(random_tensor(DType::boolean, shape, 3, 0, 2)), x = in(1);
        body.out(body.b.one(op, {c, x, in(2)}));
        break;
      }
      default: return std::nullopt;
    }
  } catch (const UserError&) {
    return std::nullopt;
  }
  return body;
}

TEST(CpuPointwise, EveryOperatorHasAKernelForEveryTypeThatItAccepts) {
  int tried = 0;
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    if (!is_pointwise(op)) continue;
    for (int t = 0; t < kDTypeCount; ++t) {
      const DType type = static_cast<DType>(t);
      std::optional<Body> body = body_of(op, type);
      if (!body) continue;
      ++tried;
      SCOPED_TRACE(std::string(name_of(op)) + " of " + std::string(name_of(type)));
      check(std::move(*body), type == DType::bf16 ? 1.6e-2 : type == DType::f16 ? 2e-3 : 1e-5);
    }
  }
  EXPECT_GT(tried, 400);
}

TEST(CpuPointwise, EveryTypeIsCastToEveryOther) {
  for (int from = 0; from < kDTypeCount; ++from)
    for (int to = 0; to < kDTypeCount; ++to) {
      if (from == to) continue;
      Body body;
      const DType type = static_cast<DType>(from), result = static_cast<DType>(to);
      const double low = is_float(type) && !is_float(result) && !is_signed_integer(result) ? 0 : -3;
      body.out(body.b.cast(body.in(random_tensor(type, Shape{7, 100}, 1, low, 100)), result));
      SCOPED_TRACE(std::string(name_of(type)) + " to " + std::string(name_of(result)));
      check(std::move(body), 0);
    }
}

TEST(CpuPointwise, ARankThatLoopsRefuseStillHasAKernel) {
  Body body;
  const Shape shape(Dims(18, 1));
  const ValueId x = body.in(random_tensor(DType::f32, shape, 1));
  body.out(body.b.unary(Op::exp, x));
  check(std::move(body));
}

TEST(CpuPointwise, IotaAloneCountsAlongItsAxisInEveryType) {
  for (const DType type : {DType::f32, DType::bf16, DType::i64, DType::u8, DType::f64})
    for (const int axis : {0, 1, 2}) {
      Body body;
      body.out(body.b.iota(type, Shape{3, 5, 40}, axis));
      check(std::move(body), 0);
    }
}

/// Runs with results apart and with results over operands, and expects the same bits.
void check_over(Body body, const std::map<int, int>& over, const std::optional<Layout>& layout = std::nullopt) {
  Graph g = std::move(body.b).take();
  if (layout)
    for (const GraphInput& i : g.inputs())
      if (g.type(i.value).shape == layout->shape) g.value(i.value).layout = layout;
  for (const int threads : {1, 3}) {
    const auto device = make_cpu_device({threads, CpuIsa::automatic, true});
    std::string implementation;
    const auto apart = run_body(*device, g, body.values, &implementation);
    const auto together = run_body(*device, g, body.values, nullptr, over);
    EXPECT_EQ(implementation, "generated");
    for (std::size_t o = 0; o < apart.size(); ++o) EXPECT_TRUE(apart[o].identical(together[o])) << "result " << o;
  }
}

TEST(CpuPointwiseInPlace, AResultOverADyingOperandHasTheSameNumbersInEveryLayout) {
  const Shape shape{3, 32, 17, 33};
  for (const DType type : {DType::f32, DType::bf16, DType::f64, DType::i32})
    for (const Layout& layout :
         {Layout::dense(shape), Layout::permuted(shape, {0, 2, 3, 1}), Layout::blocked(shape, {{1, 16}})}) {
      Body body;
      GraphBuilder& b = body.b;
      const ValueId x = body.in(random_tensor(type, shape, 1, -9, 9)),
                    y = body.in(random_tensor(type, shape, 2, -9, 9));
      const ValueId scale = body.in(random_tensor(type, Shape{32}, 3, 1, 4));
      const ValueId s = b.mul(b.sub(x, y), b.broadcast_in(scale, shape, {1}));
      body.out(b.add(s, x));
      SCOPED_TRACE(layout.str() + std::string(name_of(type)));
      check_over(std::move(body), {{0, 0}}, layout);
    }
}

TEST(CpuPointwiseInPlace, SeveralResultsOverSeveralOperandsReadBeforeTheyWrite) {
  for (const std::map<int, int>& over :
       {std::map<int, int>{{0, 0}, {1, 1}}, {{0, 1}, {1, 0}}, {{0, 2}, {1, 1}}, {{1, 0}}, {{0, 1}}}) {
    Body body;
    GraphBuilder& b = body.b;
    const Shape shape{70000};
    const ValueId w = body.in(random_tensor(DType::f32, shape, 1)), m = body.in(random_tensor(DType::f32, shape, 2)),
                  g = body.in(random_tensor(DType::f32, shape, 3));
    const ValueId next = b.add(b.mul(m, b.like(m, 0.9)), g);
    body.out(next);
    body.out(b.sub(w, b.mul(next, b.like(next, 0.1))));
    check_over(std::move(body), over);
  }
}

TEST(CpuPointwiseInPlace, OperandsReadLateOrPassedThroughSurviveTheFirstWrite) {
  Body body;
  GraphBuilder& b = body.b;
  const Shape shape{40000};
  const ValueId x = body.in(random_tensor(DType::f32, shape, 1)), y = body.in(random_tensor(DType::f32, shape, 2));
  body.out(b.mul(x, x));          // over x, which the last result reads again
  body.out(b.unary(Op::exp, y));  // over y
  body.out(b.add(b.unary(Op::tanh, b.unary(Op::exp, y)), x));
  check_over(std::move(body), {{0, 0}, {1, 1}});
  Body same;
  const ValueId z = same.in(random_tensor(DType::f32, shape, 1)), u = same.in(random_tensor(DType::f32, shape, 2));
  same.out(same.b.unary(Op::stop_gradient, z));
  same.out(same.b.add(z, u));
  check_over(std::move(same), {{0, 1}});
}

TEST(CpuPointwiseInPlace, AResultOfAnotherTypeOfTheSameSizeMayLieOverAnOperand) {
  Body body;
  const Shape shape{50000};
  body.out(body.b.cast(body.in(random_tensor(DType::f32, shape, 1, -99, 99)), DType::i32));
  check_over(std::move(body), {{0, 0}});
}

TEST(CpuPointwise, RoundingKeepsTheSignOfZero) {
  for (const Op op : {Op::ceil, Op::floor, Op::round_even})
    for (const DType type : {DType::f32, DType::f16, DType::bf16, DType::f64}) {
      Body body;
      const Tensor x = Tensor::from<double>(Shape{5}, {-0.75, -0.25, -0.0, 0.0, 0.25}).cast(type);
      body.out(body.b.unary(op, body.in(x)));
      check(std::move(body), 0);
    }
}

TEST(CpuPointwise, ResultsKeepTheirPaddingZeroInEveryLayoutThoseOfOneElementToo) {
  for (const Shape& shape :
       {Shape{1, 1, 1, 1}, Shape{1, 3, 1, 1}, Shape{3, 1, 2, 1}, Shape{2, 20, 3, 5}, Shape{2, 32, 3, 5}})
    for (const Layout& layout : {Layout::dense(shape), Layout::permuted(shape, {0, 2, 3, 1}),
                                 Layout::blocked(shape, {{1, 8}}), Layout::blocked(shape, {{1, 16}}),
                                 Layout::blocked(shape, {{0, 16}}), Layout::blocked(shape, {{1, 16}, {0, 16}})}) {
      SCOPED_TRACE(layout.str());
      Body body;
      const ValueId x = body.in(random_tensor(DType::f32, shape, 1)), y = body.in(random_tensor(DType::f32, shape, 2));
      const ValueId e = body.b.unary(Op::exp, body.b.sub(x, y));
      body.out(e);
      body.out(body.b.select(body.b.binary(Op::less, x, y), body.b.like(x, 1), e));
      Graph question = body.b.graph();
      for (const GraphInput& i : question.inputs()) question.value(i.value).layout = layout;
      // A dimension of one element may be refused with blocks; any other is taken.
      const bool blocks_of_one = std::any_of(layout.blocks.begin(), layout.blocks.end(),
                                             [&](const Layout::Block& b) { return shape[b.dimension] == 1; });
      if (blocks_of_one && !make_cpu_device({2, CpuIsa::automatic, true})->oracle().ask(question).offer) continue;
      check(std::move(body), 2e-6, {2, CpuIsa::automatic, true}, {{{0, layout}, {1, layout}}, {}});
    }
}

}  // namespace
}  // namespace weft
