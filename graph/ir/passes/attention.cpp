// Matching from the second product back, and the copy of the graph with what was found.
#include "graph/ir/passes/attention.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/ir/passes/attention_mask.hpp"
#include "graph/ir/passes/attention_operands.hpp"
#include "graph/ir/passes/prune.hpp"

namespace weft {
namespace {

using attention::Mask;
using attention::Operand;

struct Found {
  Operand q, k, v;
  double scale = 1;
  bool zero_masked = false;
  Mask mask;
};

bool is_lowest(const std::optional<double>& x) { return x && (std::isinf(*x) || *x < -1e30) && *x < 0; }

class Matcher {
 public:
  explicit Matcher(const Graph& graph) : graph_(graph), constants_(graph), uses_(graph.values().size(), 0) {
    for (const Node& node : graph.nodes())
      for (const ValueId v : node.inputs) ++uses_[static_cast<std::size_t>(v)];
    for (const GraphOutput& o : graph.outputs()) ++uses_[static_cast<std::size_t>(o.value)];
  }

  /// Attention whose second product is `node`.
  std::optional<Found> match(const Node& node) {
    if (node.op != Op::dot_general) return std::nullopt;
    Found found{{}, {}, {}, 1, false, Mask(graph_, constants_)};
    const Node* softmax = softmax_below(node.inputs[0], found.zero_masked);
    if (softmax == nullptr || !rows_times_columns(node)) return std::nullopt;
    const Node* product = scores_below(softmax->inputs[0], found);
    if (product == nullptr) return std::nullopt;
    const auto dims = [&](const Node& n, const char* name) { return n.attributes.integers(name); };
    const auto q = attention::operand_of(graph_, product->inputs[0], dims(*product, "x_batch"),
                                         dims(*product, "x_contract"), false);
    const auto k = attention::operand_of(graph_, product->inputs[1], dims(*product, "y_batch"),
                                         dims(*product, "y_contract"), false);
    const auto v = attention::operand_of(graph_, node.inputs[1], dims(node, "y_batch"), dims(node, "y_contract"), true);
    if (!q || !k || !v || q->batch.size() != v->batch.size()) return std::nullopt;
    for (const bool split : {true, false})
      if (simplify(*q, *k, *v, split, found)) return found;
    return std::nullopt;
  }

 private:
  const Node* producer_read_once(ValueId v, int uses = 1) const {
    return uses_[static_cast<std::size_t>(v)] == uses ? graph_.producer(v) : nullptr;
  }
  bool casts_floats(const Node& node) const {
    return node.op == Op::cast && is_float(graph_.type(node.inputs[0]).dtype);
  }

  /// Probabilities [batch..., queries, keys], contracted over the keys.
  bool rows_times_columns(const Node& node) const {
    const Dims &batch = node.attributes.integers("x_batch"), &contract = node.attributes.integers("x_contract");
    const int rank = graph_.type(node.inputs[0]).shape.rank();
    for (std::size_t i = 0; i < batch.size(); ++i)
      if (batch[i] != static_cast<std::int64_t>(i)) return false;
    return static_cast<int>(batch.size()) == rank - 2 && contract == Dims{rank - 1};
  }

  const Node* softmax_below(ValueId v, bool& zero_masked) const {
    const Node* node = producer_read_once(v);
    while (node != nullptr) {
      if (node->op == Op::softmax) {
        const int rank = graph_.type(v).shape.rank();
        return node->attributes.integer("axis") == rank - 1 ? node : nullptr;
      }
      if (casts_floats(*node) ||
          (node->op == Op::dropout && node->inputs.size() == 1 && node->attributes.number("ratio") == 0)) {
        v = node->inputs[0];
        node = producer_read_once(v);
      } else if (node->op == Op::select && !zero_masked) {  // NaN becomes 0
        const Node* test = producer_read_once(node->inputs[0]);
        if (test == nullptr || test->op != Op::is_nan || test->inputs[0] != node->inputs[2]) return nullptr;
        if (constants().uniform(node->inputs[1]) != 0.0) return nullptr;
        zero_masked = true;
        v = node->inputs[2];
        node = producer_read_once(v, 2);
      } else {
        return nullptr;
      }
    }
    return nullptr;
  }
  ConstantValues& constants() const { return constants_; }

  /// The first product, with what scales and masks its results.
  const Node* scores_below(ValueId v, Found& found) {
    const Node* node = producer_read_once(v);
    double factor = 1;  // of what has been passed, masks included
    while (node != nullptr && node->op != Op::dot_general) {
      if (casts_floats(*node)) {
        v = node->inputs[0];
      } else if (const auto c = factor_of(*node); c && *c > 0) {
        factor *= *c;
        v = node->inputs[0];
      } else if (const auto left = left_factor_of(*node); left && *left > 0) {
        factor *= *left;
        v = node->inputs[1];
      } else if (node->op == Op::add && factor == 1) {
        const std::size_t score = leads_to_product(node->inputs[0]) ? 0 : 1;
        if (!leads_to_product(node->inputs[score]) || !found.mask.add_bias(node->inputs[1 - score])) return nullptr;
        v = node->inputs[score];
      } else if (const auto least = constants_.uniform(node->inputs.back());
                 node->op == Op::select && factor == 1 && is_lowest(least)) {
        if (!found.mask.add_condition(node->inputs[0], *least)) return nullptr;
        v = node->inputs[1];
      } else {
        return nullptr;
      }
      node = producer_read_once(v);
    }
    found.scale = factor;
    found.mask.settle();
    return node;
  }

  std::optional<double> factor_of(const Node& node) const {
    if (node.op != Op::mul && node.op != Op::div) return std::nullopt;
    const auto c = constants().uniform(node.inputs[1]);
    if (!c || !std::isfinite(*c) || *c == 0) return std::nullopt;
    return node.op == Op::mul ? *c : 1 / *c;
  }
  std::optional<double> left_factor_of(const Node& node) const {
    const auto c = node.op == Op::mul ? constants().uniform(node.inputs[0]) : std::nullopt;
    return c && std::isfinite(*c) ? c : std::nullopt;
  }

  bool leads_to_product(ValueId v) const {
    const Node* node = producer_read_once(v);
    for (int steps = 0; node != nullptr && steps < 8; ++steps) {
      if (node->op == Op::dot_general) return true;
      const bool right = node->op == Op::mul && constants().uniform(node->inputs[0]).has_value();
      const bool through = casts_floats(*node) || node->op == Op::mul || node->op == Op::div || node->op == Op::add;
      if (!through && node->op != Op::select) return false;
      const std::size_t next = node->op == Op::select || right ? 1 : 0;
      if (node->op == Op::add && !leads_to_product(node->inputs[0])) return leads_to_product(node->inputs[1]);
      node = producer_read_once(node->inputs[next]);
    }
    return false;
  }

  Dims batch_extents(const Operand& o) const {
    const Shape& shape = o.seen_as ? *o.seen_as : graph_.type(o.value).shape;
    Dims extents;
    for (const std::int64_t d : o.batch) extents.push_back(shape[static_cast<int>(d)]);
    return extents;
  }

  /// As far back as all three agree on batch and heads.
  bool simplify(const Operand& q, const Operand& k, const Operand& v, bool split, Found& found) {
    double scale = found.scale, none = 1;
    const Operand a = attention::simplified_operand(graph_, constants_, q, split, scale);
    const Operand b = attention::simplified_operand(graph_, constants_, k, split, scale);
    const Operand c = attention::simplified_operand(graph_, constants_, v, split, none);
    if (none != 1) return simplify_values(a, b, v, scale, found);
    if (batch_extents(a) != batch_extents(b) || batch_extents(a) != batch_extents(c)) return false;
    const DType type = graph_.type(a.value).dtype;
    if (graph_.type(b.value).dtype != type || graph_.type(c.value).dtype != type || !std::isfinite(scale)) return false;
    found.q = a;
    found.k = attention::unrepeated(graph_, b);
    found.v = attention::unrepeated(graph_, c);
    if (batch_extents(found.k) != batch_extents(found.v)) found.k = b, found.v = c;
    found.scale = scale;
    return true;
  }

  /// A factor of v is no part of attention: v stays as it is multiplied.
  bool simplify_values(const Operand& q, const Operand& k, const Operand& v, double scale, Found& found) {
    if (batch_extents(q) != batch_extents(v) || batch_extents(q) != batch_extents(k)) return false;
    found.q = q, found.k = k, found.v = v;
    found.scale = scale;
    return graph_.type(q.value).dtype == graph_.type(v.value).dtype;
  }

  const Graph& graph_;
  mutable ConstantValues constants_;
  std::vector<int> uses_;
};

/// The node's result, [batch..., queries, values], from attention in `b`.
ValueId replaced(GraphBuilder& b, const Graph& graph, const Node& node, const Found& found,
                 const std::vector<ValueId>& moved) {
  const auto at = [&](ValueId v) { return moved[static_cast<std::size_t>(v)]; };
  const ValueId q = as_operand(b, found.q, at(found.q.value)), k = as_operand(b, found.k, at(found.k.value)),
                v = as_operand(b, found.v, at(found.v.value));
  std::vector<ValueId> operands = {q, k, v};
  const Shape heads{b.shape(q)[0], b.shape(q)[2]};
  const ValueId mask = found.mask.operand(b, b.dtype(q), heads, at);
  if (mask != kNone) operands.push_back(mask);
  const ValueId y = b.node(Op::attention, operands,
                           {{"scale", found.scale},
                            {"causal", std::int64_t{found.mask.causal()}},
                            {"offset", found.mask.offset()},
                            {"zero_masked", std::int64_t{found.zero_masked}}})[0];
  return b.reshape(b.transpose(y, {0, 2, 1, 3}), graph.type(node.outputs[0]).shape);
}

}  // namespace

Graph with_attention(const Graph& forward) {
  Matcher matcher(forward);
  std::map<const Node*, Found> all;
  for (const Node& node : forward.nodes())
    if (auto found = matcher.match(node)) all.emplace(&node, std::move(*found));
  if (all.empty()) return forward;
  GraphBuilder builder;
  std::vector<ValueId> moved(forward.values().size(), kNone);
  for (const GraphInput& input : forward.inputs())
    moved[static_cast<std::size_t>(input.value)] = builder.input(input.name, input.role, forward.type(input.value));
  for (const Node& node : forward.nodes()) {
    const ScopedName name(builder, node.name);
    if (const auto found = all.find(&node); found != all.end()) {
      moved[static_cast<std::size_t>(node.outputs[0])] = replaced(builder, forward, node, found->second, moved);
      continue;
    }
    Node copy = node;
    for (ValueId& v : copy.inputs) v = moved[static_cast<std::size_t>(v)];
    const std::vector<ValueId> results = builder.append(std::move(copy));
    for (std::size_t i = 0; i < results.size(); ++i) moved[static_cast<std::size_t>(node.outputs[i])] = results[i];
  }
  for (const GraphOutput& output : forward.outputs())
    builder.output(output.name, output.role, moved[static_cast<std::size_t>(output.value)]);
  return pruned(builder.graph());
}

}  // namespace weft
