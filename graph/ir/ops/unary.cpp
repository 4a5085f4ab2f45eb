// Elementwise operators of one operand: result element i depends on element i.
#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

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

}  // namespace

std::vector<OpRules> unary_rules() {
  return {
      {.op = Op::neg, .infer = infer_numeric},
      {.op = Op::abs, .infer = infer_numeric},
      {.op = Op::sign, .infer = infer_numeric},
      {.op = Op::exp, .infer = infer_float},
      {.op = Op::expm1, .infer = infer_float},
      {.op = Op::log, .infer = infer_float},
      {.op = Op::log1p, .infer = infer_float},
      {.op = Op::sqrt, .infer = infer_float},
      {.op = Op::rsqrt, .infer = infer_float},
      {.op = Op::reciprocal, .infer = infer_float},
      {.op = Op::sin, .infer = infer_float},
      {.op = Op::cos, .infer = infer_float},
      {.op = Op::tan, .infer = infer_float},
      {.op = Op::asin, .infer = infer_float},
      {.op = Op::acos, .infer = infer_float},
      {.op = Op::atan, .infer = infer_float},
      {.op = Op::sinh, .infer = infer_float},
      {.op = Op::cosh, .infer = infer_float},
      {.op = Op::asinh, .infer = infer_float},
      {.op = Op::acosh, .infer = infer_float},
      {.op = Op::atanh, .infer = infer_float},
      {.op = Op::tanh, .infer = infer_float},
      {.op = Op::erf, .infer = infer_float},
      {.op = Op::floor, .infer = infer_float},
      {.op = Op::ceil, .infer = infer_float},
      {.op = Op::round_even, .infer = infer_float},
      {.op = Op::logical_not, .infer = infer_logical_not},
      {.op = Op::bit_not, .infer = infer_bit_not},
      {.op = Op::is_nan, .infer = infer_float_test},
      {.op = Op::is_inf, .infer = infer_float_test},
      {.op = Op::cast, .infer = infer_cast},
      {.op = Op::stop_gradient, .infer = infer_any},
      {.op = Op::reorder, .infer = infer_any},
  };
}

}  // namespace weft::ops
