// Elementwise operators of one operand: result element i depends on element i.
#include <numbers>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "weft/error.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_float(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {});
  check.floating(0);
  return {check.operand(0)};
}

std::vector<TensorType> infer_numeric(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {});
  check.numeric(0);
  return {check.operand(0)};
}

std::vector<TensorType> infer_any(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {});
  return {check.operand(0)};
}

std::vector<TensorType> infer_logical_not(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {});
  check.that(check.dtype(0) == DType::boolean, "operand 0 must be bool");
  return {check.operand(0)};
}

std::vector<TensorType> infer_bit_not(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {});
  check.integral(0);
  return {check.operand(0)};
}

std::vector<TensorType> infer_float_test(const Node& node, std::span<const TensorType> operands) {
  infer_float(node, operands);
  return {{DType::boolean, operands[0].shape}};
}

std::vector<TensorType> infer_cast(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"dtype"});
  return {{check.type("dtype"), check.shape(0)}};
}

ValueId scaled(GraphBuilder& b, ValueId x, double factor) { return b.mul(x, b.like(x, factor)); }
ValueId squared(GraphBuilder& b, ValueId x) { return b.mul(x, x); }
/// 1 - x^2
ValueId one_minus_square(GraphBuilder& b, ValueId x) { return b.sub(b.like(x, 1), squared(b, x)); }

/// The derivative of a float function at x, where its value is y.
ValueId derivative(GraphBuilder& b, Op op, ValueId x, ValueId y) {
  const auto one = [&] { return b.like(x, 1); };
  switch (op) {
    case Op::abs: return b.unary(Op::sign, x);
    case Op::exp: return y;
    case Op::expm1: return b.add(y, one());
    case Op::log: return b.unary(Op::reciprocal, x);
    case Op::log1p: return b.unary(Op::reciprocal, b.add(x, one()));
    case Op::sqrt: return b.div(b.like(x, 0.5), y);
    case Op::rsqrt: return scaled(b, b.mul(squared(b, y), y), -0.5);
    case Op::reciprocal: return b.unary(Op::neg, squared(b, y));
    case Op::sin: return b.unary(Op::cos, x);
    case Op::cos: return b.unary(Op::neg, b.unary(Op::sin, x));
    case Op::tan: return b.add(squared(b, y), one());
    case Op::asin: return b.unary(Op::rsqrt, one_minus_square(b, x));
    case Op::acos: return b.unary(Op::neg, b.unary(Op::rsqrt, one_minus_square(b, x)));
    case Op::atan: return b.unary(Op::reciprocal, b.add(squared(b, x), one()));
    case Op::sinh: return b.unary(Op::cosh, x);
    case Op::cosh: return b.unary(Op::sinh, x);
    case Op::asinh: return b.unary(Op::rsqrt, b.add(squared(b, x), one()));
    case Op::acosh: return b.unary(Op::rsqrt, b.sub(squared(b, x), one()));
    case Op::atanh: return b.unary(Op::reciprocal, one_minus_square(b, x));
    case Op::tanh: return one_minus_square(b, y);
    default: break;
  }
  check_internal(op == Op::erf, "no derivative of " + std::string(name_of(op)));
  return scaled(b, b.unary(Op::exp, b.unary(Op::neg, squared(b, x))), 2 * std::numbers::inv_sqrtpi);
}

std::vector<ValueId> gradient_unary(const GradientContext& c) {
  return {c.builder.mul(c.grad(), derivative(c.builder, c.node.op, c.operand(0), c.result()))};
}
std::vector<ValueId> gradient_neg(const GradientContext& c) { return {c.builder.unary(Op::neg, c.grad())}; }
std::vector<ValueId> gradient_zero(const GradientContext&) { return {kNone}; }
std::vector<ValueId> gradient_cast(const GradientContext& c) {
  return {c.builder.cast(c.grad(), c.builder.dtype(c.operand(0)))};
}
std::vector<ValueId> gradient_reorder(const GradientContext& c) { return {c.grad()}; }

}  // namespace

std::vector<OpRules> unary_rules() {
  return {
      {.op = Op::neg, .infer = infer_numeric, .gradient = gradient_neg},
      {.op = Op::abs, .infer = infer_numeric, .gradient = gradient_unary},
      {.op = Op::sign, .infer = infer_numeric, .gradient = gradient_zero},
      {.op = Op::exp, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::expm1, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::log, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::log1p, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::sqrt, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::rsqrt, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::reciprocal, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::sin, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::cos, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::tan, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::asin, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::acos, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::atan, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::sinh, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::cosh, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::asinh, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::acosh, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::atanh, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::tanh, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::erf, .infer = infer_float, .gradient = gradient_unary},
      {.op = Op::floor, .infer = infer_float, .gradient = gradient_zero},
      {.op = Op::ceil, .infer = infer_float, .gradient = gradient_zero},
      {.op = Op::round_even, .infer = infer_float, .gradient = gradient_zero},
      {.op = Op::logical_not, .infer = infer_logical_not},
      {.op = Op::bit_not, .infer = infer_bit_not},
      {.op = Op::is_nan, .infer = infer_float_test},
      {.op = Op::is_inf, .infer = infer_float_test},
      {.op = Op::cast, .infer = infer_cast, .gradient = gradient_cast},
      {.op = Op::stop_gradient, .infer = infer_any, .gradient = gradient_zero},
      {.op = Op::reorder, .infer = infer_any, .gradient = gradient_reorder},
  };
}

}  // namespace weft::ops
