// Comparisons (to bool) and selection between two operands.
#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_equality(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {});
  check.same_type(0, 1);
  return {{DType::boolean, check.shape(0)}};
}

std::vector<TensorType> infer_order(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {});
  check.numeric(0);
  return infer_equality(node, operands);
}

std::vector<TensorType> infer_select(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(3, {});
  check.that(check.dtype(0) == DType::boolean, "operand 0 (the condition) must be bool");
  check.same_type(1, 2);
  check.that(check.shape(0) == check.shape(1), "the condition must have the shape of the other operands");
  return {check.operand(1)};
}

std::vector<ValueId> gradient_select(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId condition = c.operand(0), zero = b.like(c.grad(), 0);
  return {kNone, c.wanted[1] ? b.select(condition, c.grad(), zero) : kNone,
          c.wanted[2] ? b.select(condition, zero, c.grad()) : kNone};
}

}  // namespace

std::vector<OpRules> compare_rules() {
  return {
      {.op = Op::equal, .infer = infer_equality},
      {.op = Op::not_equal, .infer = infer_equality},
      {.op = Op::less, .infer = infer_order},
      {.op = Op::less_equal, .infer = infer_order},
      {.op = Op::greater, .infer = infer_order},
      {.op = Op::greater_equal, .infer = infer_order},
      {.op = Op::select, .infer = infer_select, .gradient = gradient_select},
  };
}

}  // namespace weft::ops
