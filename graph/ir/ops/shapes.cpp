// Movement that keeps every element: reshape, transpose, broadcast.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/pooled_gradients.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_reshape(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"shape"});
  const Shape shape = check.shape_attribute("shape");
  if (shape.elements() != check.shape(0).elements())
    check.fail(fmt::format("{} elements cannot take the shape {}", check.shape(0).elements(), shape.str()));
  return {{check.dtype(0), shape}};
}

std::vector<TensorType> infer_transpose(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"order"});
  const Dims order = check.axes("order", check.shape(0).rank());
  check.that(static_cast<int>(order.size()) == check.shape(0).rank(), "'order' must list every dimension once");
  Dims extents;
  for (const std::int64_t d : order) extents.push_back(check.shape(0)[static_cast<int>(d)]);
  return {{check.dtype(0), Shape(std::move(extents))}};
}

std::vector<TensorType> infer_broadcast(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"shape", "dims"});
  const Shape shape = check.shape_attribute("shape");
  const Dims dims = check.axes("dims", shape.rank());
  check.that(static_cast<int>(dims.size()) == check.shape(0).rank(), "'dims' must have one entry for each dimension");
  for (int d = 0; d < check.shape(0).rank(); ++d) {
    const std::int64_t from = check.shape(0)[d], to = shape[static_cast<int>(dims[static_cast<std::size_t>(d)])];
    if (from != to && from != 1)
      check.fail(fmt::format("dimension {} of extent {} cannot become an extent of {}", d, from, to));
    if (d > 0 && dims[static_cast<std::size_t>(d)] <= dims[static_cast<std::size_t>(d) - 1])
      check.fail("'dims' must ascend (transpose first)");
  }
  return {{check.dtype(0), shape}};
}

std::vector<ValueId> gradient_reshape(const GradientContext& c) {
  return {c.builder.reshape(c.grad(), c.builder.shape(c.operand(0)))};
}

std::vector<ValueId> gradient_transpose(const GradientContext& c) {
  const Dims& order = c.node.attributes.integers("order");
  Dims inverse(order.size());
  for (std::size_t d = 0; d < order.size(); ++d)
    inverse[static_cast<std::size_t>(order[d])] = static_cast<std::int64_t>(d);
  return {c.builder.transpose(c.grad(), std::move(inverse))};
}

/// Sums over the dimensions that were made or stretched.
std::vector<ValueId> gradient_broadcast(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const Dims& dims = c.node.attributes.integers("dims");
  const Shape &from = b.shape(c.operand(0)), &to = b.shape(c.grad());
  std::vector<bool> kept(static_cast<std::size_t>(to.rank()), false);
  for (std::size_t d = 0; d < dims.size(); ++d)
    if (from[static_cast<int>(d)] == to[static_cast<int>(dims[d])]) kept[static_cast<std::size_t>(dims[d])] = true;
  Dims summed;
  for (std::size_t d = 0; d < kept.size(); ++d)
    if (!kept[d]) summed.push_back(static_cast<std::int64_t>(d));
  const ValueId grad = summed_before_pooling(b, c.grad(), summed);
  const ValueId sum = summed.empty() ? grad : b.reduce(Op::reduce_sum, grad, std::move(summed));
  return {b.reshape(sum, from)};
}

/// The first operand, once the second is there.
std::vector<TensorType> infer_after(const Node&, std::span<const TensorType> operands) { return {operands[0]}; }
std::vector<ValueId> gradient_after(const GradientContext& c) { return {c.grad(), kNone}; }

}  // namespace

std::vector<OpRules> shape_rules() {
  return {
      {.op = Op::reshape, .infer = infer_reshape, .gradient = gradient_reshape},
      {.op = Op::transpose, .infer = infer_transpose, .gradient = gradient_transpose},
      {.op = Op::broadcast, .infer = infer_broadcast, .gradient = gradient_broadcast},
      {.op = Op::after, .infer = infer_after, .gradient = gradient_after},
  };
}

}  // namespace weft::ops
