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
  const DType type = check.contraction({"x_batch", "y_batch", "x_contract", "y_contract"});
  check.numeric(0);
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
  return {{type, Shape(std::move(extents))}};
}

/// One side of a product, as the gradient rule sees it.
struct Side {
  Dims batch, contract, free;
  Side(const Attributes& attributes, const char* batch_name, const char* contract_name, int rank)
      : batch(attributes.integers(batch_name)),
        contract(attributes.integers(contract_name)),
        free(free_dimensions(rank, batch, contract)) {}
};

/// Where each dimension of this side lies in a product whose dimensions are batch, then this side's free and the
/// other's contracted ones in ascending order, or the latter first.
Dims order_in_product(const Side& side, const Side& other, bool contracted_first) {
  Dims ascending = other.contract;
  std::sort(ascending.begin(), ascending.end());
  Dims order(side.batch.size() + side.free.size() + side.contract.size());
  const auto at = static_cast<std::int64_t>(side.batch.size());
  for (std::size_t i = 0; i < side.batch.size(); ++i)
    order[static_cast<std::size_t>(side.batch[i])] = static_cast<std::int64_t>(i);
  const auto free_at = at + (contracted_first ? static_cast<std::int64_t>(side.contract.size()) : 0);
  const auto contracted_at = at + (contracted_first ? 0 : static_cast<std::int64_t>(side.free.size()));
  for (std::size_t i = 0; i < side.free.size(); ++i)
    order[static_cast<std::size_t>(side.free[i])] = free_at + static_cast<std::int64_t>(i);
  for (std::size_t i = 0; i < side.contract.size(); ++i) {
    const auto place = std::find(ascending.begin(), ascending.end(), other.contract[i]) - ascending.begin();
    order[static_cast<std::size_t>(side.contract[i])] = contracted_at + place;
  }
  return order;
}

/// The product of dy and the other operand over the other's free dimensions, in this side's order: of the two orders of
/// a product, that which needs no transpose.
ValueId side_gradient(const GradientContext& c, const Side& side, const Side& other, ValueId other_value,
                      std::int64_t other_free_at) {
  GraphBuilder& b = c.builder;
  const ValueId dy = b.cast(c.grad(), b.dtype(other_value));
  Dims dy_batch, dy_contract;
  for (std::size_t i = 0; i < side.batch.size(); ++i) dy_batch.push_back(static_cast<std::int64_t>(i));
  for (std::size_t i = 0; i < other.free.size(); ++i)
    dy_contract.push_back(other_free_at + static_cast<std::int64_t>(i));
  const Dims swapped = order_in_product(side, other, true);
  if (std::is_sorted(swapped.begin(), swapped.end()))
    return b.dot(other_value, dy, other.batch, dy_batch, other.free, dy_contract);
  const ValueId product = b.dot(dy, other_value, dy_batch, other.batch, dy_contract, other.free);
  Dims order = order_in_product(side, other, false);
  return std::is_sorted(order.begin(), order.end()) ? product : b.transpose(product, std::move(order));
}

std::vector<ValueId> gradient_dot(const GradientContext& c) {
  const Attributes& a = c.node.attributes;
  const Side x(a, "x_batch", "x_contract", c.builder.shape(c.operand(0)).rank());
  const Side y(a, "y_batch", "y_contract", c.builder.shape(c.operand(1)).rank());
  const auto batch = static_cast<std::int64_t>(x.batch.size());
  return {c.wanted[0] ? side_gradient(c, x, y, c.operand(1), batch + static_cast<std::int64_t>(x.free.size())) : kNone,
          c.wanted[1] ? side_gradient(c, y, x, c.operand(0), batch) : kNone};
}

}  // namespace

std::vector<OpRules> dot_rules() { return {{.op = Op::dot_general, .infer = infer_dot, .gradient = gradient_dot}}; }

}  // namespace weft::ops
