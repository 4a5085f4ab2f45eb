// Composite elementwise activations: relu, sigmoid, softplus, gelu, silu.
#include <numbers>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/pooled_gradients.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_activation(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {});
  check.floating(0);
  return {check.operand(0)};
}

std::vector<TensorType> infer_gelu(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"approximate"});
  check.floating(0);
  check.text("approximate", {"none", "tanh"});
  return {check.operand(0)};
}

std::vector<ValueId> decompose_relu(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  return {b.binary(Op::maximum, x, b.like(x, 0))};
}

/// 1 / (1 + exp(-x)), written with exp of non-positive numbers only: exact tails in every precision.
std::vector<ValueId> decompose_sigmoid(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0], one = b.like(x, 1);
  const ValueId e = b.unary(Op::exp, b.unary(Op::neg, b.unary(Op::abs, x)));
  const ValueId upper = b.select(b.binary(Op::greater_equal, x, b.like(x, 0)), one, e);
  return {b.div(upper, b.add(one, e))};
}

/// log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)).
std::vector<ValueId> decompose_softplus(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const ValueId e = b.unary(Op::exp, b.unary(Op::neg, b.unary(Op::abs, x)));
  return {b.add(b.binary(Op::maximum, x, b.like(x, 0)), b.unary(Op::log1p, e))};
}

std::vector<ValueId> decompose_silu(GraphBuilder& b, const Node& node) {
  return {b.mul(node.inputs[0], b.unary(Op::sigmoid, node.inputs[0]))};
}

constexpr double kGeluCubic = 0.044715;
constexpr double kGeluScale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // sqrt(2/pi)

/// The argument of the tanh form: sqrt(2/pi) (x + 0.044715 x^3).
ValueId gelu_argument(GraphBuilder& b, ValueId x) {
  const ValueId cubic = b.mul(b.mul(b.mul(x, x), x), b.like(x, kGeluCubic));
  return b.mul(b.add(x, cubic), b.like(x, kGeluScale));
}

/// x times the standard normal distribution function (D. Hendrycks, K. Gimpel, 2016), or its tanh approximation.
std::vector<ValueId> decompose_gelu(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const bool tanh = node.attributes.text("approximate") == "tanh";
  const ValueId inner =
      tanh ? b.unary(Op::tanh, gelu_argument(b, x)) : b.unary(Op::erf, b.mul(x, b.like(x, std::numbers::sqrt2 / 2)));
  return {b.mul(b.mul(x, b.like(x, 0.5)), b.add(inner, b.like(x, 1)))};
}

std::vector<ValueId> gradient_relu(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  if (const auto masked = masked_before_pooling(b, c.result(), c.grad())) return {*masked};
  const ValueId zero = b.like(c.grad(), 0);
  // The result says as much as the operand, and lets what makes the operand take the relu into its own kernel.
  return {b.select(b.binary(Op::greater, c.result(), zero), c.grad(), zero)};
}

ValueId one_minus(GraphBuilder& b, ValueId x) { return b.sub(b.like(x, 1), x); }

std::vector<ValueId> gradient_sigmoid(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  return {b.mul(c.grad(), b.mul(c.result(), one_minus(b, c.result())))};
}

std::vector<ValueId> gradient_softplus(const GradientContext& c) {
  return {c.builder.mul(c.grad(), c.builder.unary(Op::sigmoid, c.operand(0)))};
}

/// s (1 + x (1 - s)), s = sigmoid(x).
std::vector<ValueId> gradient_silu(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId x = c.operand(0), s = b.unary(Op::sigmoid, x);
  return {b.mul(c.grad(), b.mul(s, b.add(b.like(x, 1), b.mul(x, one_minus(b, s)))))};
}

/// Phi(x) + x phi(x); for the tanh form (1 + t)/2 + x/2 (1 - t^2) u'.
std::vector<ValueId> gradient_gelu(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId x = c.operand(0);
  const auto scaled = [&](ValueId v, double factor) { return b.mul(v, b.like(v, factor)); };
  ValueId slope = kNone;
  if (c.node.attributes.text("approximate") == "tanh") {
    const ValueId t = b.unary(Op::tanh, gelu_argument(b, x));
    const ValueId inner = b.add(scaled(b.mul(x, x), 3 * kGeluCubic * kGeluScale), b.like(x, kGeluScale));
    const ValueId rise = b.mul(b.mul(x, one_minus(b, b.mul(t, t))), inner);
    slope = scaled(b.add(b.add(t, b.like(t, 1)), rise), 0.5);
  } else {
    const ValueId distribution =
        b.add(scaled(b.unary(Op::erf, scaled(x, std::numbers::sqrt2 / 2)), 0.5), b.like(x, 0.5));
    const ValueId density =
        scaled(b.unary(Op::exp, scaled(b.mul(x, x), -0.5)), std::numbers::inv_sqrtpi * std::numbers::sqrt2 / 2);
    slope = b.add(distribution, b.mul(x, density));
  }
  return {b.mul(c.grad(), slope)};
}

}  // namespace

std::vector<OpRules> activation_rules() {
  return {
      {.op = Op::relu, .infer = infer_activation, .gradient = gradient_relu, .decompose = decompose_relu},
      {.op = Op::sigmoid, .infer = infer_activation, .gradient = gradient_sigmoid, .decompose = decompose_sigmoid},
      {.op = Op::softplus, .infer = infer_activation, .gradient = gradient_softplus, .decompose = decompose_softplus},
      {.op = Op::gelu, .infer = infer_gelu, .gradient = gradient_gelu, .decompose = decompose_gelu},
      {.op = Op::silu, .infer = infer_activation, .gradient = gradient_silu, .decompose = decompose_silu},
  };
}

}  // namespace weft::ops
