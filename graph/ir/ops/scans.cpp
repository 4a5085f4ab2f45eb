// Operators that look along one axis: argmax, argmin, cumulative sum, top-k.
#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_arg(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axis", "last"});
  check.numeric(0);
  check.flag("last");
  const int axis = check.axis("axis", check.shape(0).rank());
  check.that(check.shape(0)[axis] > 0, "'axis' has no elements");
  Dims extents = check.shape(0).extents();
  extents.erase(extents.begin() + axis);
  return {{DType::i64, Shape(std::move(extents))}};
}

std::vector<TensorType> infer_cumsum(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axis", "exclusive", "reverse"});
  check.numeric(0);
  check.axis("axis", check.shape(0).rank());
  check.flag("exclusive");
  check.flag("reverse");
  return {check.operand(0)};
}

std::vector<TensorType> infer_top_k(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axis", "k", "largest"});
  check.numeric(0);
  check.flag("largest");
  const int axis = check.axis("axis", check.shape(0).rank());
  const Shape shape = check.shape(0).with(axis, check.integer("k", 0, check.shape(0)[axis]));
  return {{check.dtype(0), shape}, {DType::i64, shape}};
}

std::vector<ValueId> gradient_cumsum(const GradientContext& c) {
  Attributes attributes = c.node.attributes;
  attributes.set("reverse", 1 - attributes.integer("reverse"));
  return {c.builder.one(Op::cumsum, {c.grad()}, std::move(attributes))};
}

/// Back to where the values were taken from.
std::vector<ValueId> gradient_top_k(const GradientContext& c) {
  return {c.builder.one(Op::scatter_elements, {c.builder.like(c.operand(0), 0), c.result(1), c.grad()},
                        {{"axis", c.node.attributes.integer("axis")}, {"kind", std::string("add")}})};
}

}  // namespace

std::vector<OpRules> scan_rules() {
  return {
      {.op = Op::argmax, .infer = infer_arg},
      {.op = Op::argmin, .infer = infer_arg},
      {.op = Op::cumsum, .infer = infer_cumsum, .gradient = gradient_cumsum},
      {.op = Op::top_k, .infer = infer_top_k, .gradient = gradient_top_k},
  };
}

}  // namespace weft::ops
