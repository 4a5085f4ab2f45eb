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

}  // namespace

std::vector<OpRules> reduction_rules() {
  return {
      {.op = Op::reduce_sum, .infer = infer_reduce},
      {.op = Op::reduce_max, .infer = infer_reduce},
      {.op = Op::reduce_min, .infer = infer_reduce},
      {.op = Op::reduce_prod, .infer = infer_reduce},
  };
}

}  // namespace weft::ops
