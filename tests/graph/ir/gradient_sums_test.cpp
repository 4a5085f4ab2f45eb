// Sums of gradients that are made as one node: what they are made of, and their values.
#include "graph/ir/gradient_sums.hpp"

#include <gtest/gtest.h>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/interpret.hpp"

namespace weft {
namespace {

struct Range {
  std::int64_t from, to;
  double weight;
};

struct SliceGradient {
  Op made_by;
  std::size_t operands;
  std::vector<double> values;
};

/// Of x [7], whose slices are summed, each with its weight.
SliceGradient gradient_of_slices(const std::vector<Range>& ranges) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f64, Shape{7}});
  ValueId loss = b.full(DType::f64, {}, 0);
  for (const Range& r : ranges) {
    const ValueId part = b.slice(x, {r.from}, {r.to}, {1});
    loss = b.add(loss, b.reduce_all(Op::reduce_sum, b.mul(part, b.like(part, r.weight))));
  }
  const ValueId grad = gradients(b, loss, {x}).front();
  b.output("grad", OutputRole::fetch, grad);
  const Node* made = b.graph().producer(grad);
  const Tensor value = interpret(b.graph(), {{"x", Tensor(DType::f64, Shape{7})}}).at("grad");
  SliceGradient result{made->op, made->inputs.size(), {}};
  for (std::int64_t i = 0; i < value.elements(); ++i) result.values.push_back(value.as_double(i));
  return result;
}

TEST(GradientSums, NeighbouringSlicesAreConcatenatedWhateverTheirOrder) {
  for (const std::vector<Range>& ranges :
       {std::vector<Range>{{0, 3, 1}, {3, 5, 2}, {5, 7, 3}}, std::vector<Range>{{5, 7, 3}, {3, 5, 2}, {0, 3, 1}}}) {
    const SliceGradient g = gradient_of_slices(ranges);
    EXPECT_EQ(g.made_by, Op::concat);
    EXPECT_EQ(g.operands, 3U);
    EXPECT_EQ(g.values, (std::vector<double>{1, 1, 1, 2, 2, 3, 3}));
  }
}

TEST(GradientSums, SlicesThatLeaveEndsOutArePaddedOnce) {
  const SliceGradient g = gradient_of_slices({{1, 3, 1}, {3, 5, 2}});
  EXPECT_EQ(g.made_by, Op::pad);
  EXPECT_EQ(g.values, (std::vector<double>{0, 1, 1, 2, 2, 0, 0}));
}

TEST(GradientSums, SlicesThatOverlapOrLeaveAGapAreAdded) {
  EXPECT_EQ(gradient_of_slices({{0, 4, 1}, {2, 7, 2}}).values, (std::vector<double>{1, 1, 3, 3, 2, 2, 2}));
  EXPECT_EQ(gradient_of_slices({{0, 2, 1}, {3, 7, 2}}).values, (std::vector<double>{1, 1, 0, 2, 2, 2, 2}));
}

/// h <- tanh(h w' + x_t), three times, for `batch` sequences; sum of the last h.
struct Recurrent {
  GraphBuilder b;
  ValueId w, loss;

  explicit Recurrent(std::int64_t batch, std::int64_t width) {
    w = b.input("w", InputRole::feed, {DType::f64, Shape{width, width}});
    const ValueId x = b.input("x", InputRole::feed, {DType::f64, Shape{4, batch, width}});
    const auto at = [&](std::int64_t t) {
      return b.reshape(b.slice(x, {t, 0, 0}, {t + 1, batch, width}, {1, 1, 1}), Shape{batch, width});
    };
    ValueId h = at(0);
    for (std::int64_t t = 1; t < 4; ++t) h = b.unary(Op::tanh, b.add(b.dot(h, w, {}, {}, {1}, {1}), at(t)));
    loss = b.reduce_all(Op::reduce_sum, h);
    b.output("loss", OutputRole::fetch, loss);
  }
};

Tensor spread(const Shape& shape, double step) {
  Tensor t(DType::f64, shape);
  double value = -0.6;
  for (double& v : t.mutable_values<double>()) v = (value = value > 0.6 ? value - 1.1 : value + step);
  return t;
}

TEST(GradientSums, AWeightReadAtEveryStepGetsOneProduct) {
  Recurrent r(2, 5);
  const ValueId grad = gradients(r.b, r.loss, {r.w}).front();
  EXPECT_EQ(r.b.graph().producer(grad)->op, Op::dot_general);
  EXPECT_EQ(r.b.shape(r.b.graph().producer(grad)->inputs[0]), (Shape{6, 5}));
  r.b.output("grad", OutputRole::fetch, grad);
  std::map<std::string, Tensor> at = {{"w", spread({5, 5}, 0.23)}, {"x", spread({4, 2, 5}, 0.31)}};
  const Tensor got = interpret(r.b.graph(), at).at("grad");
  const double h = 1e-5;
  for (std::size_t i = 0; i < 25; ++i) {
    const auto loss_at = [&](double offset) {
      auto moved = at;
      moved.at("w").mutable_values<double>()[i] += offset;
      return interpret(r.b.graph(), moved).at("loss").as_double(0);
    };
    EXPECT_NEAR(got.as_double(static_cast<std::int64_t>(i)), (loss_at(h) - loss_at(-h)) / (2 * h), 1e-8) << i;
  }
}

TEST(GradientSums, ProductsOfOperandsLargerThanTheResultAreAdded) {
  Recurrent r(9, 3);
  EXPECT_EQ(r.b.graph().producer(gradients(r.b, r.loss, {r.w}).front())->op, Op::add);
}

}  // namespace
}  // namespace weft
