// Reductions over sets of dimensions: sum, maximum, minimum, product.
#include <algorithm>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_reduce(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"dims"});
  if (node.op == Op::reduce_sum || node.op == Op::reduce_prod) check.numeric(0);
  const Dims dims = check.axes("dims", check.shape(0).rank());
  Dims extents;
  for (int d = 0; d < check.shape(0).rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) extents.push_back(check.shape(0)[d]);
  return {{check.dtype(0), Shape(std::move(extents))}};
}

/// A value without the reduced dimensions, repeated along them.
ValueId spread(const GradientContext& c, ValueId v) {
  GraphBuilder& b = c.builder;
  const Dims& dims = c.node.attributes.integers("dims");
  const Shape& shape = b.shape(c.operand(0));
  Dims kept;
  for (int d = 0; d < shape.rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) kept.push_back(d);
  return dims.empty() ? v : b.broadcast_in(v, shape, std::move(kept));
}

std::vector<ValueId> gradient_sum(const GradientContext& c) { return {spread(c, c.grad())}; }

/// Shared evenly between the elements that equal the result.
std::vector<ValueId> gradient_reduced_extreme(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId x = c.operand(0);
  const ValueId wins = b.binary(Op::equal, x, spread(c, c.result()));
  const ValueId winners = b.reduce(Op::reduce_sum, b.cast(wins, b.dtype(x)), c.node.attributes.integers("dims"));
  return {b.select(wins, spread(c, b.div(c.grad(), winners)), b.like(x, 0))};
}

/// The product of all others: with zeros set aside, the product over x; a single zero gets the product of the rest.
std::vector<ValueId> gradient_prod(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const Dims& dims = c.node.attributes.integers("dims");
  const ValueId x = c.operand(0), zero = b.like(x, 0);
  const ValueId is_zero = b.binary(Op::equal, x, zero), nonzero = b.select(is_zero, b.like(x, 1), x);
  const ValueId product = spread(c, b.reduce(Op::reduce_prod, nonzero, dims));
  const ValueId zeros = spread(c, b.reduce(Op::reduce_sum, b.cast(is_zero, b.dtype(x)), dims));
  const ValueId at_zero = b.select(b.binary(Op::equal, zeros, b.like(x, 1)), product, zero);
  const ValueId elsewhere = b.select(b.binary(Op::equal, zeros, zero), b.div(product, nonzero), zero);
  return {b.mul(spread(c, c.grad()), b.select(is_zero, at_zero, elsewhere))};
}

}  // namespace

std::vector<OpRules> reduction_rules() {
  return {
      {.op = Op::reduce_sum, .infer = infer_reduce, .gradient = gradient_sum},
      {.op = Op::reduce_max, .infer = infer_reduce, .gradient = gradient_reduced_extreme},
      {.op = Op::reduce_min, .infer = infer_reduce, .gradient = gradient_reduced_extreme},
      {.op = Op::reduce_prod, .infer = infer_reduce, .gradient = gradient_prod},
  };
}

}  // namespace weft::ops
