// Recognising what is summed by the nodes that made it.
#include "graph/ir/gradient_sums.hpp"

#include <algorithm>
#include <optional>

namespace weft {
namespace {

bool is_zero(const Graph& graph, ValueId v) {
  const Node* node = graph.producer(v);
  while (node != nullptr && node->op == Op::broadcast) node = graph.producer(node->inputs[0]);
  return node != nullptr && node->literal && node->literal->elements() == 1 && node->literal->as_double(0) == 0;
}

/// Zeros around `inside` along one axis.
struct Padded {
  ValueId inside;
  std::size_t axis;
  std::int64_t low, high;
};

std::optional<Padded> as_padded(const Graph& graph, ValueId v) {
  const Node* node = graph.producer(v);
  if (node == nullptr || node->op != Op::pad || !is_zero(graph, node->inputs[1])) return std::nullopt;
  const Dims &low = node->attributes.integers("low"), &high = node->attributes.integers("high");
  const Dims& interior = node->attributes.integers("interior");
  std::optional<Padded> found;
  for (std::size_t d = 0; d < low.size(); ++d) {
    if (interior[d] != 0 || low[d] < 0 || high[d] < 0) return std::nullopt;
    if (low[d] == 0 && high[d] == 0) continue;
    if (found) return std::nullopt;
    found = Padded{node->inputs[0], d, low[d], high[d]};
  }
  return found;
}

/// Both along `axis`; parts of what is a concatenation already are taken over.
ValueId joined(GraphBuilder& b, ValueId first, ValueId second, std::int64_t axis) {
  std::vector<ValueId> parts;
  for (const ValueId v : {first, second}) {
    const Node* node = b.graph().producer(v);
    if (node != nullptr && node->op == Op::concat && node->attributes.integer("axis") == axis)
      parts.insert(parts.end(), node->inputs.begin(), node->inputs.end());
    else
      parts.push_back(v);
  }
  return b.concat(std::move(parts), static_cast<int>(axis));
}

std::optional<ValueId> sum_of_slices(GraphBuilder& b, ValueId sum, ValueId next) {
  std::optional<Padded> first = as_padded(b.graph(), sum), second = as_padded(b.graph(), next);
  if (!first || !second || first->axis != second->axis) return std::nullopt;
  if (second->low < first->low) std::swap(first, second);
  const auto extent = [&](const Padded& p) { return b.shape(p.inside)[static_cast<int>(p.axis)]; };
  if (second->low != first->low + extent(*first)) return std::nullopt;
  const std::size_t axis = first->axis;
  const ValueId both = joined(b, first->inside, second->inside, static_cast<std::int64_t>(axis));
  if (first->low == 0 && second->high == 0) return both;
  Dims low(b.shape(both).extents().size(), 0), high = low;
  const Dims none = low;
  low[axis] = first->low;
  high[axis] = second->high;
  return b.pad(both, b.full(b.dtype(both), Shape{}, 0), low, high, none);
}

const Node* as_product(const Graph& graph, ValueId v) {
  const Node* node = graph.producer(v);
  const bool fits = node != nullptr && node->op == Op::dot_general && node->attributes.integers("x_batch").empty() &&
                    node->attributes.integers("x_contract").size() == 1;
  return fits ? node : nullptr;
}

std::optional<ValueId> sum_of_products(GraphBuilder& b, ValueId sum, ValueId next) {
  const Node *first = as_product(b.graph(), next), *second = as_product(b.graph(), sum);
  if (first == nullptr || second == nullptr || first->attributes != second->attributes) return std::nullopt;
  const std::int64_t operands = b.shape(first->inputs[0]).elements() + b.shape(first->inputs[1]).elements();
  if (operands >= b.shape(next).elements()) return std::nullopt;
  const Dims x_contract = first->attributes.integers("x_contract"),
             y_contract = first->attributes.integers("y_contract");
  const ValueId x = joined(b, first->inputs[0], second->inputs[0], x_contract[0]);
  const ValueId y = joined(b, first->inputs[1], second->inputs[1], y_contract[0]);
  return b.dot(x, y, {}, {}, x_contract, y_contract);
}

}  // namespace

ValueId sum_of_gradients(GraphBuilder& builder, ValueId sum, ValueId next) {
  if (const std::optional<ValueId> v = sum_of_slices(builder, sum, next)) return *v;
  if (const std::optional<ValueId> v = sum_of_products(builder, sum, next)) return *v;
  return builder.add(sum, next);
}

}  // namespace weft
