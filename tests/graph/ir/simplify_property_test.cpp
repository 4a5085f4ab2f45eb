// Random graphs full of what simplification looks for: the same bits before and after, and nothing left to do.
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/simplify.hpp"

namespace weft {
namespace {

/// Small integers and halves, zeros of both signs among them: products and sums stay finite for long, and equal often.
Tensor random_tensor(const Shape& shape, unsigned seed) {
  std::mt19937 random(seed);
  Tensor t(DType::f32, shape);
  for (float& x : t.mutable_values<float>()) {
    x = static_cast<float>(static_cast<int>(random() % 9) - 4) / 2;
    if (x == 0 && random() % 2 == 0) x = -0.0F;
  }
  return t;
}

/// Grows a graph over values of shape [3, 4] by one random step at a time.
class RandomGraph {
 public:
  explicit RandomGraph(unsigned seed) : random_(seed) {
    pool_.push_back(b_.input("x", InputRole::feed, {DType::f32, shape_}));
    pool_.push_back(b_.input("w", InputRole::state, {DType::f32, shape_}));
    b_.input("unused", InputRole::feed, {DType::f32, shape_});
    pool_.push_back(b_.constant(random_tensor(shape_, seed)));
    for (int i = 0; i < 40; ++i) {
      b_.set_name("/node" + std::to_string(i));
      pool_.push_back(step());
    }
    b_.output("w", OutputRole::state, pool_.back());
    for (int i = 0; i < 6; ++i) b_.output("y" + std::to_string(i), OutputRole::fetch, any());
  }
  const Graph& graph() const { return b_.graph(); }

 private:
  unsigned pick(unsigned n) { return static_cast<unsigned>(random_() % n); }
  ValueId any() { return pool_[pick(static_cast<unsigned>(pool_.size()))]; }
  ValueId number() {
    const double numbers[] = {0.0, -0.0, 1.0, -1.0, 2.0};
    return b_.like(pool_[0], numbers[pick(5)]);
  }
  ValueId number_or_any() { return pick(2) == 0 ? number() : any(); }
  ValueId condition() {
    if (pick(3) == 0) return b_.full(DType::boolean, shape_, pick(2));
    const ValueId c = b_.binary(pick(2) == 0 ? Op::less : Op::equal, number_or_any(), number_or_any());
    return pick(2) == 0 ? b_.unary(Op::logical_not, c) : c;
  }
  /// Values of other shapes, on the way back to [3, 4].
  ValueId moved(ValueId v) {
    switch (pick(7)) {
      case 0: return b_.reshape(b_.reshape(b_.reshape(v, {12}), {2, 6}), shape_);
      case 1: return b_.transpose(b_.transpose(v, {1, 0}), {1, 0});
      case 2: return b_.reshape(b_.transpose(v, {1, 0}), shape_);
      case 3: return b_.concat({b_.slice(v, {1, 0}, {3, 4}, {1, 1}), b_.slice(v, {0, 0}, {1, 4}, {1, 1})}, 0);
      case 4:
        return b_.slice(b_.pad(v, b_.constant(Tensor::scalar(1.0F)), {1, 0}, {0, 1}, {0, 0}), {0, 1}, {3, 5}, {1, 1});
      case 5: return b_.slice(v, {0, 0}, {3, 4}, {1, 1});
      default: return b_.one(Op::reverse, {v}, {{"dims", pick(2) == 0 ? Dims{} : Dims{1}}});
    }
  }
  ValueId reduced(ValueId v) {
    const Op kinds[] = {Op::reduce_sum, Op::reduce_max, Op::reduce_min, Op::reduce_prod};
    const Op op = kinds[pick(4)];
    switch (pick(4)) {
      case 0: return b_.reduce(op, v, {});
      case 1: return b_.broadcast_to(b_.reduce(op, v, {0}), shape_);
      case 2: return b_.broadcast_in(b_.broadcast_in(b_.reduce(op, v, {1}), {3, 1}, {0}), shape_, {0, 1});
      default: return b_.broadcast_to(b_.reduce(op, v, {0, 1}), shape_);
    }
  }
  ValueId step() {
    const Op binaries[] = {Op::add, Op::sub, Op::mul, Op::div, Op::maximum};
    const Op unaries[] = {Op::neg, Op::neg, Op::tanh, Op::relu, Op::abs, Op::stop_gradient};
    switch (pick(8)) {
      case 0:
      case 1: return b_.binary(binaries[pick(5)], number_or_any(), number_or_any());
      case 2: return b_.unary(unaries[pick(6)], number_or_any());
      case 3: return moved(number_or_any());
      case 4: return reduced(number_or_any());
      case 5: return b_.select(condition(), number_or_any(), number_or_any());
      case 6:
        return b_.one(Op::cast, {b_.one(Op::cast, {any()}, {{"dtype", pick(2) == 0 ? DType::f64 : DType::f32}})},
                      {{"dtype", DType::f32}});
      default: return b_.constant(pick(2) == 0 ? random_tensor(shape_, pick(3)) : Tensor::full(DType::f32, shape_, 1));
    }
  }

  std::mt19937 random_;
  Shape shape_{3, 4};
  GraphBuilder b_;
  std::vector<ValueId> pool_;
};

/// Same type, shape and bits, but that any NaN equals any.
bool same(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    const double x = a.as_double(i), y = b.as_double(i);
    if (!(std::isnan(x) && std::isnan(y)) && std::memcmp(&x, &y, sizeof x) != 0) return false;
  }
  return true;
}

TEST(SimplifyProperty, RandomGraphsComputeTheSameBitsAndAreSimplifiedInOneGo) {
  std::size_t before = 0, after = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    const RandomGraph made(seed);
    const Graph& graph = made.graph();
    const Graph simple = simplify(graph);
    simple.verify();
    before += graph.nodes().size();
    after += simple.nodes().size();
    ASSERT_EQ(simplify(simple).str(), simple.str()) << "seed " << seed;
    ASSERT_EQ(simple.inputs().size(), graph.inputs().size());
    std::map<std::string, Tensor> inputs;
    for (const GraphInput& input : graph.inputs()) {
      EXPECT_NE(simple.find_input(input.name), kNone);
      inputs[input.name] =
          random_tensor(graph.type(input.value).shape, seed * 7 + static_cast<unsigned>(inputs.size()));
    }
    const auto expected = interpret(graph, inputs), actual = interpret(simple, inputs);
    ASSERT_EQ(actual.size(), expected.size());
    for (const auto& [name, value] : expected)
      ASSERT_TRUE(same(actual.at(name), value)) << "seed " << seed << ", output " << name << "\n"
                                                << graph.str() << "\n"
                                                << simple.str();
  }
  EXPECT_LT(after, before / 2);
}

}  // namespace
}  // namespace weft
