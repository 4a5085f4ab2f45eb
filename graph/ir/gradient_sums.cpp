// Recognising what is summed by the nodes that made it.
#include "graph/ir/gradient_sums.hpp"

#include <algorithm>
#include <optional>
#include <vector>

namespace weft {
namespace {

/// Slices with gaps between them that are kept apart.
constexpr std::size_t kMostSlicesApart = 8;

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

/// The slices that `sum` adds up, by where they lie; empty where it is made of anything else.
std::vector<Padded> slices_of(const Graph& graph, ValueId sum) {
  std::vector<Padded> slices;
  std::vector<ValueId> stack{sum};
  while (!stack.empty()) {
    const ValueId v = stack.back();
    stack.pop_back();
    const Node* node = graph.producer(v);
    if (const std::optional<Padded> slice = as_padded(graph, v)) {
      slices.push_back(*slice);
    } else if (node != nullptr && node->op == Op::add && slices.size() + stack.size() < kMostSlicesApart) {
      stack.insert(stack.end(), node->inputs.begin(), node->inputs.end());
    } else {
      return {};
    }
  }
  std::sort(slices.begin(), slices.end(), [](const Padded& a, const Padded& b) { return a.low < b.low; });
  return slices;
}

/// Neighbouring slices are concatenated. Those that are not neighbours yet are added, each with zeros around it, until
/// what lies between them comes: the gates of a recurrent cell.
std::optional<ValueId> sum_of_slices(GraphBuilder& b, ValueId sum, ValueId next) {
  std::vector<Padded> slices = slices_of(b.graph(), sum);
  const std::optional<Padded> added = as_padded(b.graph(), next);
  if (slices.empty() || !added) return std::nullopt;
  const std::size_t axis = added->axis;
  slices.insert(std::find_if(slices.begin(), slices.end(), [&](const Padded& s) { return s.low > added->low; }),
                *added);
  const auto end_of = [&](const Padded& p) { return p.low + b.shape(p.inside)[static_cast<int>(axis)]; };
  std::vector<Padded> runs;
  for (const Padded& slice : slices) {
    if (slice.axis != axis || (!runs.empty() && end_of(runs.back()) > slice.low)) return std::nullopt;
    if (runs.empty() || end_of(runs.back()) < slice.low) {
      runs.push_back(slice);
      continue;
    }
    runs.back().inside = joined(b, runs.back().inside, slice.inside, static_cast<std::int64_t>(axis));
    runs.back().high = slice.high;
  }
  if (runs.size() == slices.size()) return std::nullopt;
  ValueId result = kNone;
  for (const Padded& run : runs) {
    ValueId v = run.inside;
    if (run.low != 0 || run.high != 0) {
      Dims low(b.shape(v).extents().size(), 0), high = low;
      const Dims none = low;
      low[axis] = run.low;
      high[axis] = run.high;
      v = b.pad(v, b.full(b.dtype(v), Shape{}, 0), low, high, none);
    }
    result = result == kNone ? v : b.add(result, v);
  }
  return result;
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
