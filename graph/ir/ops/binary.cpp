// Elementwise operators of two operands of one type: arithmetic, logic, bits.
#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_arithmetic(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {});
  check.numeric(0);
  check.same_type(0, 1);
  return {check.operand(0)};
}

std::vector<TensorType> infer_logical(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {});
  check.same_type(0, 1);
  check.that(check.dtype(0) == DType::boolean, "operands must be bool");
  return {check.operand(0)};
}

std::vector<TensorType> infer_bits(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {});
  check.integral(0);
  check.same_type(0, 1);
  return {check.operand(0)};
}

std::vector<ValueId> gradient_add(const GradientContext& c) { return {c.grad(), c.grad()}; }
std::vector<ValueId> gradient_sub(const GradientContext& c) { return {c.grad(), c.builder.unary(Op::neg, c.grad())}; }

std::vector<ValueId> gradient_mul(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  return {c.wanted[0] ? b.mul(c.grad(), c.operand(1)) : kNone, c.wanted[1] ? b.mul(c.grad(), c.operand(0)) : kNone};
}

std::vector<ValueId> gradient_div(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId dx = b.div(c.grad(), c.operand(1));
  return {dx, c.wanted[1] ? b.unary(Op::neg, b.mul(dx, c.result())) : kNone};
}

/// x rem y = x - y trunc(x / y), and (x - result) / y is that whole number.
std::vector<ValueId> gradient_rem(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId quotient = b.unary(Op::round_even, b.div(b.sub(c.operand(0), c.result()), c.operand(1)));
  return {c.grad(), b.unary(Op::neg, b.mul(c.grad(), quotient))};
}

/// y x^(y-1), which is 0 for y = 0; and x^y log x, which is 0 for x = 0 and y >= 0.
std::vector<ValueId> gradient_pow(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId x = c.operand(0), y = c.operand(1), zero = b.like(x, 0);
  std::vector<ValueId> grads(2, kNone);
  if (c.wanted[0]) {
    const ValueId slope = b.mul(y, b.binary(Op::pow, x, b.sub(y, b.like(y, 1))));
    grads[0] = b.mul(c.grad(), b.select(b.binary(Op::equal, y, zero), zero, slope));
  }
  if (c.wanted[1]) {
    const ValueId flat = b.binary(Op::logical_and, b.binary(Op::equal, x, zero), b.binary(Op::greater_equal, y, zero));
    grads[1] = b.mul(c.grad(), b.select(flat, zero, b.mul(c.result(), b.unary(Op::log, x))));
  }
  return grads;
}

/// One number, everywhere.
bool is_bound(const Graph& graph, ValueId v) {
  const Node* node = graph.producer(v);
  while (node != nullptr && (node->op == Op::broadcast || node->op == Op::reshape))
    node = graph.producer(node->inputs[0]);
  return node != nullptr && node->op == Op::constant && node->literal->elements() == 1;
}

/// To the larger (smaller) operand; half to each of equals. What equals a constant bound gets none: this is an
/// activation that clips, and flat from there on, as PyTorch's relu6 and hardtanh are.
std::vector<ValueId> gradient_of_two_extremes(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId x = c.operand(0), y = c.operand(1), dy = c.grad(), zero = b.like(dy, 0);
  if (is_bound(b.graph(), y))
    return {b.select(b.binary(c.node.op == Op::maximum ? Op::greater : Op::less, x, y), dy, zero), kNone};
  const ValueId half = b.mul(dy, b.like(dy, 0.5)), tie = b.binary(Op::equal, x, y);
  const ValueId first = b.binary(c.node.op == Op::maximum ? Op::greater : Op::less, x, y);
  return {b.select(tie, half, b.select(first, dy, zero)), b.select(tie, half, b.select(first, zero, dy))};
}

}  // namespace

std::vector<OpRules> binary_rules() {
  return {
      {.op = Op::add, .infer = infer_arithmetic, .gradient = gradient_add},
      {.op = Op::sub, .infer = infer_arithmetic, .gradient = gradient_sub},
      {.op = Op::mul, .infer = infer_arithmetic, .gradient = gradient_mul},
      {.op = Op::div, .infer = infer_arithmetic, .gradient = gradient_div},
      {.op = Op::rem, .infer = infer_arithmetic, .gradient = gradient_rem},
      {.op = Op::pow, .infer = infer_arithmetic, .gradient = gradient_pow},
      {.op = Op::maximum, .infer = infer_arithmetic, .gradient = gradient_of_two_extremes},
      {.op = Op::minimum, .infer = infer_arithmetic, .gradient = gradient_of_two_extremes},
      {.op = Op::logical_and, .infer = infer_logical},
      {.op = Op::logical_or, .infer = infer_logical},
      {.op = Op::logical_xor, .infer = infer_logical},
      {.op = Op::bit_and, .infer = infer_bits},
      {.op = Op::bit_or, .infer = infer_bits},
      {.op = Op::bit_xor, .infer = infer_bits},
      {.op = Op::shift_left, .infer = infer_bits},
      {.op = Op::shift_right, .infer = infer_bits},
  };
}

}  // namespace weft::ops
