// dot_general: products summed over contracted dimensions, for each index of the batch dimensions.
#include "graph/ir/ops/dot.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {

Dims free_dimensions(int rank, const Dims& batch, const Dims& contract) {
  Dims free;
  for (int d = 0; d < rank; ++d)
    if (std::find(batch.begin(), batch.end(), d) == batch.end() &&
        std::find(contract.begin(), contract.end(), d) == contract.end())
      free.push_back(d);
  return free;
}

namespace {

/// Batch and contracted dimensions of one operand, distinct taken together.
void check_disjoint(const Check& check, const Dims& batch, const Dims& contract, const char* side) {
  for (const std::int64_t d : contract)
    if (std::find(batch.begin(), batch.end(), d) != batch.end())
      check.fail(fmt::format("dimension {} of {} is both a batch and a contracted dimension", d, side));
}

void check_pairs(const Check& check, const Dims& x, const Dims& y, const char* kind) {
  if (x.size() != y.size()) check.fail(fmt::format("operands have different numbers of {} dimensions", kind));
  for (std::size_t i = 0; i < x.size(); ++i)
    if (check.shape(0)[static_cast<int>(x[i])] != check.shape(1)[static_cast<int>(y[i])])
      check.fail(fmt::format("{} dimensions {} and {} have different extents", kind, x[i], y[i]));
}

std::vector<TensorType> infer_dot(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"x_batch", "y_batch", "x_contract", "y_contract"});
  check.numeric(0);
  check.same_dtype(0, 1);
  const Shape &x = check.shape(0), &y = check.shape(1);
  const Dims x_batch = check.axes("x_batch", x.rank()), y_batch = check.axes("y_batch", y.rank());
  const Dims x_contract = check.axes("x_contract", x.rank()), y_contract = check.axes("y_contract", y.rank());
  check_disjoint(check, x_batch, x_contract, "x");
  check_disjoint(check, y_batch, y_contract, "y");
  check_pairs(check, x_batch, y_batch, "batch");
  check_pairs(check, x_contract, y_contract, "contracted");
  Dims extents;
  for (const std::int64_t d : x_batch) extents.push_back(x[static_cast<int>(d)]);
  for (const std::int64_t d : free_dimensions(x.rank(), x_batch, x_contract)) extents.push_back(x[static_cast<int>(d)]);
  for (const std::int64_t d : free_dimensions(y.rank(), y_batch, y_contract)) extents.push_back(y[static_cast<int>(d)]);
  return {{check.dtype(0), Shape(std::move(extents))}};
}

}  // namespace

std::vector<OpRules> dot_rules() { return {{.op = Op::dot_general, .infer = infer_dot}}; }

}  // namespace weft::ops
