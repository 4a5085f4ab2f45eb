// Walking back from products to q, k and v.
#include "graph/ir/passes/attention_operands.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ir/ops/dot.hpp"

namespace weft::attention {
namespace {

bool leads(const Dims& batch) {
  for (std::size_t i = 0; i < batch.size(); ++i)
    if (batch[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

/// Batch dimensions, in order and first, become one or several: the rest of both shapes is the same.
std::optional<Operand> before_reshape(const Graph& graph, const Operand& o, const Node& node) {
  const Shape &to = graph.type(o.value).shape, &from = graph.type(node.inputs[0]).shape;
  const int rest = to.rank() - static_cast<int>(o.batch.size());
  const int batch = from.rank() - rest;
  if (!leads(o.batch) || rest != 2 || batch < 1) return std::nullopt;
  for (int d = 1; d <= rest; ++d)
    if (to[to.rank() - d] != from[from.rank() - d]) return std::nullopt;
  const std::int64_t shift = from.rank() - to.rank();
  Operand before{node.inputs[0], Dims(static_cast<std::size_t>(batch)), o.position + shift, o.feature + shift};
  std::iota(before.batch.begin(), before.batch.end(), 0);
  return before;
}

Operand before_transpose(const Operand& o, const Node& node) {
  const Dims& order = node.attributes.integers("order");
  const auto at = [&](std::int64_t d) { return order[static_cast<std::size_t>(d)]; };
  Operand before{node.inputs[0], {}, at(o.position), at(o.feature)};
  for (const std::int64_t d : o.batch) before.batch.push_back(at(d));
  return before;
}

/// The other operand of a product or quotient with one number, which is multiplied into `scale`.
std::optional<ValueId> without_factor(const Graph& graph, ConstantValues& constants, const Node& node, double& scale) {
  if (node.op != Op::mul && node.op != Op::div) return std::nullopt;
  for (const std::size_t i : {1, 0}) {
    if (i == 0 && node.op == Op::div) break;
    const auto factor = constants.uniform(node.inputs[i]);
    if (!factor || !std::isfinite(*factor) || (node.op == Op::div && *factor == 0)) continue;
    if (!is_float(graph.type(node.outputs[0]).dtype)) continue;
    scale = node.op == Op::mul ? scale * *factor : scale / *factor;
    return node.inputs[1 - i];
  }
  return std::nullopt;
}

}  // namespace

std::optional<Operand> operand_of(const Graph& graph, ValueId value, const Dims& batch, const Dims& contract,
                                  bool positions_are_contracted) {
  const Dims free = ops::free_dimensions(graph.type(value).shape.rank(), batch, contract);
  if (contract.size() != 1 || free.size() != 1) return std::nullopt;
  Operand operand{value, batch, free[0], contract[0]};
  if (positions_are_contracted) std::swap(operand.position, operand.feature);
  return operand;
}

Operand simplified_operand(const Graph& graph, ConstantValues& constants, Operand operand, bool may_split,
                           double& scale) {
  // Batch dimensions that were merged must come apart again further back, or else they stay merged.
  Operand best = operand;
  double factor = scale;
  const std::size_t batch = operand.batch.size();
  while (const Node* node = graph.producer(operand.value)) {
    if (const auto inner = without_factor(graph, constants, *node, factor)) {
      operand.value = *inner;
    } else if (node->op == Op::transpose) {
      operand = before_transpose(operand, *node);
    } else if (node->op == Op::reshape) {
      const auto before = before_reshape(graph, operand, *node);
      if (!before) break;
      operand = *before;
    } else {
      break;
    }
    if (operand.batch.size() == batch || (may_split && batch == 1 && operand.batch.size() == 2)) {
      best = operand;
      scale = factor;
    }
  }
  return best;
}

Operand unrepeated(const Graph& graph, const Operand& operand) {
  const Node* reshape = graph.producer(operand.value);
  if (reshape == nullptr || reshape->op != Op::reshape || operand.batch.size() != 2) return operand;
  const Node* broadcast = graph.producer(reshape->inputs[0]);
  if (broadcast == nullptr || broadcast->op != Op::broadcast) return operand;
  const Shape &whole = graph.type(operand.value).shape, &wide = graph.type(reshape->inputs[0]).shape;
  const auto heads = static_cast<int>(operand.batch[1]);
  if (wide.rank() != 5 || wide[heads] * wide[heads + 1] != whole[heads]) return operand;
  for (int d = 0; d < 4; ++d)
    if (d != heads && whole[d] != wide[d < heads ? d : d + 1]) return operand;
  const Unbroadcast source = unbroadcast(graph, reshape->inputs[0]);
  for (int d = 0; d < 5; ++d)
    if (source.shape[d] != (d == heads + 1 ? 1 : wide[d])) return operand;
  Operand result = operand;
  result.value = source.value;
  Dims unrepeated_extents = whole.extents();
  unrepeated_extents[static_cast<std::size_t>(heads)] = wide[heads];
  result.seen_as = Shape(std::move(unrepeated_extents));
  return result;
}

ValueId as_operand(GraphBuilder& b, const Operand& o, ValueId x) {
  if (o.seen_as) x = b.reshape(x, *o.seen_as);
  const auto transposed = [&](const Dims& order) {
    return std::is_sorted(order.begin(), order.end()) ? x : b.transpose(x, order);
  };
  Dims order = o.batch;
  const std::size_t batches = order.size();
  order.insert(batches > 1 ? order.end() - 1 : order.end(), o.position);
  order.push_back(o.feature);
  x = transposed(order);
  const Shape s = b.shape(x);
  if (batches == 2) return x;
  std::int64_t samples = 1;
  for (std::size_t d = 0; d + 1 < batches || (batches == 1 && d == 0); ++d) samples *= s[static_cast<int>(d)];
  if (batches <= 1) return b.reshape(x, {samples, s[s.rank() - 2], 1, s[s.rank() - 1]});
  return b.reshape(x, {samples, s[s.rank() - 3], s[s.rank() - 2], s[s.rank() - 1]});
}

Unbroadcast unbroadcast(const Graph& graph, ValueId value) {
  const Shape& shape = graph.type(value).shape;
  const Node* node = graph.producer(value);
  if (node == nullptr || node->op != Op::broadcast) return {value, shape};
  const Shape& from = graph.type(node->inputs[0]).shape;
  Dims extents(static_cast<std::size_t>(shape.rank()), 1);
  const Dims& dims = node->attributes.integers("dims");
  for (std::size_t i = 0; i < dims.size(); ++i) extents[static_cast<std::size_t>(dims[i])] = from[static_cast<int>(i)];
  return {node->inputs[0], Shape(std::move(extents))};
}

}  // namespace weft::attention
