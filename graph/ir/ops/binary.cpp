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

}  // namespace

std::vector<OpRules> binary_rules() {
  return {
      {.op = Op::add, .infer = infer_arithmetic},      {.op = Op::sub, .infer = infer_arithmetic},
      {.op = Op::mul, .infer = infer_arithmetic},      {.op = Op::div, .infer = infer_arithmetic},
      {.op = Op::rem, .infer = infer_arithmetic},      {.op = Op::pow, .infer = infer_arithmetic},
      {.op = Op::maximum, .infer = infer_arithmetic},  {.op = Op::minimum, .infer = infer_arithmetic},
      {.op = Op::logical_and, .infer = infer_logical}, {.op = Op::logical_or, .infer = infer_logical},
      {.op = Op::logical_xor, .infer = infer_logical}, {.op = Op::bit_and, .infer = infer_bits},
      {.op = Op::bit_or, .infer = infer_bits},         {.op = Op::bit_xor, .infer = infer_bits},
      {.op = Op::shift_left, .infer = infer_bits},     {.op = Op::shift_right, .infer = infer_bits},
  };
}

}  // namespace weft::ops
