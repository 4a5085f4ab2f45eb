// Reading slices by index along one axis, and its adjoint.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

/// x.shape with dimension `axis` replaced by the dimensions of `indices`.
Shape gathered(const Shape& x, const Shape& indices, int axis) {
  Dims extents(x.begin(), x.begin() + axis);
  extents.insert(extents.end(), indices.begin(), indices.end());
  extents.insert(extents.end(), x.begin() + axis + 1, x.end());
  return Shape(std::move(extents));
}

std::vector<TensorType> infer_gather(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"axis"});
  check.integral(1);
  return {{check.dtype(0), gathered(check.shape(0), check.shape(1), check.axis("axis", check.shape(0).rank()))}};
}

std::vector<TensorType> infer_scatter_add(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"axis", "shape"});
  check.integral(0);
  check.numeric(1);
  const Shape shape = check.shape_attribute("shape");
  const Shape expected = gathered(shape, check.shape(0), check.axis("axis", shape.rank()));
  if (check.shape(1) != expected) check.fail(fmt::format("updates must have the shape {}", expected.str()));
  return {{check.dtype(1), shape}};
}

std::vector<ValueId> gradient_gather(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  return {b.one(Op::scatter_add, {c.operand(1), c.grad()},
                {{"axis", c.node.attributes.integer("axis")}, {"shape", b.shape(c.operand(0)).extents()}}),
          kNone};
}

/// A gather; updates that were dropped have no gradient (an index outside the range reads false, and NaN).
std::vector<ValueId> gradient_scatter_add(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const Attributes axis = {{"axis", c.node.attributes.integer("axis")}};
  const ValueId inside = b.full(DType::boolean, b.shape(c.grad()), 1);
  const ValueId updates = b.one(Op::gather, {c.grad(), c.operand(0)}, axis);
  return {kNone, b.select(b.one(Op::gather, {inside, c.operand(0)}, axis), updates, b.like(updates, 0))};
}

}  // namespace

std::vector<OpRules> gather_rules() {
  return {
      {.op = Op::gather, .infer = infer_gather, .gradient = gradient_gather},
      {.op = Op::scatter_add, .infer = infer_scatter_add, .gradient = gradient_scatter_add},
  };
}

}  // namespace weft::ops
