// Every gradient rule against central differences in f64, and the sweep's own behaviour.
#include "graph/ir/autodiff.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <random>
#include <set>

#include "graph/ir/interpret.hpp"
#include "graph/ir/op_rules.hpp"
#include "tests/graph/ir/gradient_cases.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Values = std::map<std::string, Tensor>;

/// Distinct values (no ties, away from whole numbers), shuffled.
Tensor random_values(const GradientOperand& operand, std::mt19937& random) {
  if (!operand.fixed.empty()) return operand.fixed[0];
  Tensor t(DType::f64, operand.shape);
  auto values = t.mutable_values<double>();
  const double step = (operand.high - operand.low) / static_cast<double>(std::max<std::size_t>(values.size(), 1));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = operand.low + step * (static_cast<double>(i) + 0.37);
  std::shuffle(values.begin(), values.end(), random);
  return t;
}

/// loss = sum over float results of result . weights, so that every element counts differently.
ValueId weighted_loss(GraphBuilder& b, const std::vector<ValueId>& results) {
  ValueId loss = b.full(DType::f64, {}, 0);
  for (const ValueId r : results) {
    if (!is_float(b.dtype(r)) || b.shape(r).elements() == 0) continue;
    const Shape flat{b.shape(r).elements()};
    const ValueId weights = b.unary(Op::sin, b.add(b.iota(DType::f64, flat, 0), b.full(DType::f64, {}, 0.7)));
    loss = b.add(loss, b.reduce(Op::reduce_sum, b.mul(b.reshape(r, flat), weights), {0}));
  }
  return loss;
}

void expect_gradients_match(const GradientCase& test, std::mt19937& random) {
  GraphBuilder b;
  Values values;
  std::vector<ValueId> inputs, wrt;
  for (const GradientOperand& operand : test.operands) {
    const std::string name = fmt::format("x{}", inputs.size());
    const Tensor value = random_values(operand, random);
    inputs.push_back(b.input(name, InputRole::feed, {value.dtype(), value.shape()}));
    if (is_float(value.dtype())) wrt.push_back(inputs.back());
    values.emplace(name, value);
  }
  b.output("loss", OutputRole::fetch, weighted_loss(b, b.node(test.op, inputs, test.attributes)));
  const Graph forward = b.graph();
  const std::vector<ValueId> grads = gradients(b, forward.find_output("loss"), wrt);
  for (std::size_t i = 0; i < wrt.size(); ++i)
    b.output("grad " + forward.inputs()[static_cast<std::size_t>(forward.value(wrt[i]).result)].name, OutputRole::fetch,
             grads[i]);
  b.graph().verify();
  const Values found = interpret(b.graph(), values);

  constexpr double kStep = 1e-6;
  for (const ValueId v : wrt) {
    const std::string& name = forward.inputs()[static_cast<std::size_t>(forward.value(v).result)].name;
    for (std::int64_t i = 0; i < values.at(name).elements(); ++i) {
      const auto loss_at = [&](double shift) {
        Values moved = values;
        moved.at(name).mutable_values<double>()[static_cast<std::size_t>(i)] += shift;
        return interpret(forward, moved).at("loss").as_double(0);
      };
      const double expected = (loss_at(kStep) - loss_at(-kStep)) / (2 * kStep);
      EXPECT_NEAR(found.at("grad " + name).as_double(i), expected, 1e-6 * (1 + std::abs(expected)))
          << name_of(test.op) << test.attributes.str() << " operand " << name << " element " << i;
    }
  }
}

TEST(Gradients, MatchFiniteDifferencesForEveryOperator) {
  std::mt19937 random(5);
  for (const GradientCase& test : gradient_cases()) {
    SCOPED_TRACE(std::string(name_of(test.op)) + test.attributes.str());
    expect_gradients_match(test, random);
  }
}

TEST(Gradients, EveryDifferentiableOperatorIsInTheTable) {
  std::set<Op> tested;
  for (const GradientCase& test : gradient_cases()) tested.insert(test.op);
  for (int i = 0; i < kOpCount; ++i) {
    const Op op = static_cast<Op>(i);
    const OpRules& rules = rules_of(op);
    const bool elsewhere = class_of(op) == OpClass::collective || op == Op::if_ || op == Op::stop_gradient;
    const bool differentiable = rules.gradient != nullptr || rules.decompose != nullptr;
    EXPECT_TRUE(!differentiable || elsewhere || tested.contains(op)) << name_of(op) << " has no finite-difference case";
  }
}

const TensorType kScalar{DType::f64, {}};

TEST(Gradients, UsesOfOneValueAddUpAndUnusedOnesAreZero) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kScalar), unused = b.input("u", InputRole::feed, {DType::f64, {2}});
  const std::vector<ValueId> grads = gradients(b, b.add(b.mul(x, x), x), {x, unused});
  b.output("dx", OutputRole::fetch, grads[0]);
  b.output("du", OutputRole::fetch, grads[1]);
  const Values r = interpret(b.graph(), {{"x", Tensor::scalar(3.0)}, {"u", Tensor(DType::f64, {2})}});
  EXPECT_EQ(r.at("dx").as_double(0), 7);
  EXPECT_EQ(r.at("du").shape(), Shape{2});
  EXPECT_EQ(r.at("du").as_double(1), 0);
}

TEST(Gradients, TiesFollowPyTorch) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kScalar), y = b.input("y", InputRole::feed, kScalar);
  b.output("dx", OutputRole::fetch, gradients(b, b.binary(Op::maximum, x, y), {x})[0]);
  b.output("relu", OutputRole::fetch, gradients(b, b.unary(Op::relu, x), {x})[0]);
  for (const Op op : {Op::maximum, Op::minimum})
    b.output(std::string(name_of(op)), OutputRole::fetch, gradients(b, b.binary(op, x, b.like(x, 0)), {x})[0]);
  const Values r = interpret(b.graph(), {{"x", Tensor::scalar(0.0)}, {"y", Tensor::scalar(0.0)}});
  EXPECT_EQ(r.at("maximum").as_double(0), 0);
  EXPECT_EQ(r.at("minimum").as_double(0), 0);
  EXPECT_EQ(r.at("dx").as_double(0), 0.5);
  EXPECT_EQ(r.at("relu").as_double(0), 0);
}

/// relu(x + bias) pooled by its maxima: windows that overlap, tile, and lie in the padding alone.
TEST(Gradients, OfABiasAndAReluUnderAPoolingAreTakenOnTheNarrowSideAndEqualThoseTakenOnTheWideOne) {
  const PoolWindow windows[] = {{{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}},
                                {{1, 1, 3, 3}, {1, 1, 2, 1}, {0, 0, 1, 1}, {0, 0, 1, 1}, {1, 1, 1, 1}},
                                {{1, 1, 2, 1}, {1, 1, 1, 3}, {0, 0, 2, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}}};
  for (const PoolWindow& window : windows) {
    const auto gradients_of = [&](bool hidden) {
      std::mt19937 random(3);
      GraphBuilder b;
      const Shape shape{2, 3, 6, 4};
      const ValueId x = b.input("x", InputRole::feed, {DType::f64, shape});
      const ValueId bias = b.input("bias", InputRole::feed, {DType::f64, Shape{3}});
      ValueId y = b.unary(Op::relu, b.add(x, b.broadcast_in(bias, shape, {1})));
      if (hidden) y = b.mul(y, b.like(y, 1));  // between relu and pooling: nothing to see
      const std::vector<ValueId> found =
          gradients(b, weighted_loss(b, {b.pool(Op::reduce_window_max, y, window)}), {x, bias});
      b.output("x", OutputRole::fetch, found[0]);
      b.output("bias", OutputRole::fetch, found[1]);
      const bool masked_wide = b.graph().producer(found[0])->op == Op::select;
      EXPECT_EQ(masked_wide, hidden);
      return interpret(b.graph(), {{"x", random_values({.shape = shape, .low = -2, .high = 2}, random)},
                                   {"bias", Tensor::from<double>(Shape{3}, {0.1, -0.2, 0.3})}});
    };
    const auto narrow = gradients_of(false), wide = gradients_of(true);
    for (const auto& [name, tensor] : wide)
      for (std::int64_t i = 0; i < tensor.elements(); ++i)
        EXPECT_NEAR(narrow.at(name).as_double(i), tensor.as_double(i), 1e-12) << name << " " << i;
  }
}

TEST(Gradients, StopGradientStops) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kScalar);
  b.output("dx", OutputRole::fetch, gradients(b, b.mul(x, b.unary(Op::stop_gradient, x)), {x})[0]);
  EXPECT_EQ(interpret(b.graph(), {{"x", Tensor::scalar(3.0)}}).at("dx").as_double(0), 3);
}

TEST(Gradients, GoThroughTheTakenBranchOfAnIf) {
  GraphBuilder then, otherwise, b;
  then.output("r", OutputRole::fetch, then.unary(Op::exp, then.input("x", InputRole::feed, kScalar)));
  otherwise.output("r", OutputRole::fetch, otherwise.unary(Op::neg, otherwise.input("x", InputRole::feed, kScalar)));
  const ValueId condition = b.input("c", InputRole::feed, {DType::boolean, {}}),
                x = b.input("x", InputRole::feed, kScalar);
  const ValueId y = b.control(Op::if_, {condition, x}, {then.graph(), otherwise.graph()})[0];
  b.output("dx", OutputRole::fetch, gradients(b, y, {x})[0]);
  EXPECT_EQ(interpret(b.graph(), {{"c", Tensor::scalar(true)}, {"x", Tensor::scalar(0.0)}}).at("dx").as_double(0), 1);
  EXPECT_EQ(interpret(b.graph(), {{"c", Tensor::scalar(false)}, {"x", Tensor::scalar(0.0)}}).at("dx").as_double(0), -1);
}

TEST(Gradients, AnOperatorWithoutOneIsNamedWithItsNode) {
  GraphBuilder condition, body, b;
  condition.output(
      "go", OutputRole::fetch,
      condition.binary(Op::less, condition.input("x", InputRole::feed, kScalar), condition.full(DType::f64, {}, 5)));
  body.output("x", OutputRole::fetch, body.unary(Op::exp, body.input("x", InputRole::feed, kScalar)));
  const ValueId x = b.input("x", InputRole::feed, kScalar);
  const ScopedName name(b, "/decoder/loop");
  const ValueId y = b.control(Op::while_, {x}, {condition.graph(), body.graph()})[0];
  try {
    gradients(b, y, {x});
    FAIL() << "no error";
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), ::testing::AllOf(::testing::HasSubstr("/decoder/loop"), ::testing::HasSubstr("while")));
  }
}

TEST(Gradients, OfAnAllGatherIsAReduceScatter) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f64, {2}});
  const std::vector<std::string> axes = {"data"};
  const ValueId all = b.one(Op::all_gather, {x}, {{"axes", axes}, {"size", std::int64_t{3}}});
  const ValueId grad = gradients(b, b.reduce(Op::reduce_sum, all, {0}), {x})[0];
  EXPECT_EQ(b.graph().producer(grad)->op, Op::reduce_scatter);
  EXPECT_EQ(b.shape(grad), Shape{2});
}

}  // namespace
}  // namespace weft
