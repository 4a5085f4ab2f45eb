// Operators without tensor operands: literals, indices, random bits.
#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_constant(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(0, {});
  check.that(node.literal.has_value(), "needs a literal value");
  return {{node.literal->dtype(), node.literal->shape()}};
}

std::vector<TensorType> infer_iota(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(0, {"dtype", "shape", "axis"});
  const Shape shape = check.shape_attribute("shape");
  check.axis("axis", shape.rank());
  check.that(check.type("dtype") != DType::boolean, "'dtype' must be a number type");
  return {{check.type("dtype"), shape}};
}

std::vector<TensorType> infer_random_bits(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  const bool part = operands.size() == 4;
  if (part)
    check.signature(4, {"id", "shape", "sample_dim", "whole"});
  else
    check.signature(3, {"id", "shape", "sample_dim"});
  for (int i = 0; i < 3; ++i) check.scalar(i, DType::i64);
  check.integer("id", 0, UINT32_MAX);
  const Shape shape = check.shape_attribute("shape");
  if (part) {
    check.dims_of("whole", shape.extents().size(), 0);
    if (check.operand(3) != TensorType{DType::i64, {shape.rank()}}) check.fail("operand 3 must be i64 [rank]");
  }
  check.integer("sample_dim", -1, shape.rank() - 1);
  return {{DType::u32, shape}};
}

}  // namespace

std::vector<OpRules> source_rules() {
  return {
      {.op = Op::constant, .infer = infer_constant},
      {.op = Op::iota, .infer = infer_iota},
      {.op = Op::random_bits, .infer = infer_random_bits},
  };
}

}  // namespace weft::ops
