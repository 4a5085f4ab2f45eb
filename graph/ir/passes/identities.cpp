// Identities that hold bit for bit.
#include <algorithm>
#include <cmath>

#include "graph/ir/passes/simplify_rules.hpp"

namespace weft::simplification {
namespace {

/// Whether every element of `v` is `value`, of the same sign where that is a zero.
bool always(const Graph& graph, ValueId v, double value) {
  const std::optional<Tensor> scalar = splat_of(graph, v);
  if (!scalar) return false;
  const double element = scalar->as_double(0);
  return element == value && std::signbit(element) == std::signbit(value);
}

/// y such that `op`(x, y) is x for every x of the type.
std::optional<double> neutral_right(Op op, DType type) {
  switch (op) {
    case Op::add: return is_float(type) ? -0.0 : 0.0;  // -0.0 + 0.0 is 0.0
    case Op::sub: return 0.0;                          // 0.0 - -0.0 is 0.0, but -0.0 - -0.0 is not -0.0
    case Op::mul:
    case Op::div: return 1.0;
    case Op::logical_and: return type == DType::boolean ? std::optional(1.0) : std::nullopt;
    case Op::logical_or:
    case Op::logical_xor: return type == DType::boolean ? std::optional(0.0) : std::nullopt;
    default: return std::nullopt;
  }
}

bool commutes(Op op) { return op != Op::sub && op != Op::div; }

/// The producer of the operand where that is the same operator.
const Node* same_below(const Site& site) {
  const Node* producer = site.graph.producer(site.operand());
  return producer != nullptr && producer->op == site.node.op ? producer : nullptr;
}

bool all_zero(const Dims& dims) {
  return std::all_of(dims.begin(), dims.end(), [](std::int64_t d) { return d == 0; });
}

/// Whether a stride or gap at dimension d matters nowhere: it is `nothing`, or there are no two elements.
bool idle_steps(const Dims& steps, std::int64_t nothing, const Shape& shape) {
  for (int d = 0; d < shape.rank(); ++d)
    if (steps[static_cast<std::size_t>(d)] != nothing && shape[d] > 1) return false;
  return true;
}

bool ascends_from_zero(const Dims& dims) {
  for (std::size_t i = 0; i < dims.size(); ++i)
    if (dims[i] != static_cast<std::int64_t>(i)) return false;
  return true;
}

/// Whether a node of one operand's type is that operand.
bool is_identity(const Site& site) {
  const Attributes& a = site.node.attributes;
  const Shape& shape = site.type().shape;
  switch (site.node.op) {
    case Op::cast: return a.dtype("dtype") == site.type().dtype;
    case Op::reshape:
    case Op::broadcast: return a.integers("shape") == shape.extents();
    case Op::transpose: return ascends_from_zero(a.integers("order"));
    case Op::slice:
      return all_zero(a.integers("start")) && a.integers("limit") == shape.extents() &&
             idle_steps(a.integers("stride"), 1, shape);
    case Op::pad:
      return all_zero(a.integers("low")) && all_zero(a.integers("high")) &&
             idle_steps(a.integers("interior"), 0, shape);
    case Op::concat: return site.node.inputs.size() == 1;
    case Op::reverse:
    case Op::reduce_max:
    case Op::reduce_min:
    case Op::reduce_prod: return a.integers("dims").empty();
    case Op::reduce_sum: return a.integers("dims").empty() && !is_float(site.type().dtype);
    default: return false;
  }
}

/// The sum of -0.0 alone is 0.0: sums begin there.
ValueId emit_plus_zero(const Site& site) {
  const ValueId zero =
      site.emit({Op::constant, {}, {}, {}, {}, Tensor::full(site.type().dtype, site.type().shape, 0), {}});
  return site.emit({Op::add, {}, {}, {site.operand(), zero}, {}, std::nullopt, {}});
}

}  // namespace

std::optional<ValueId> drop_neutral_operand(const Site& site) {
  if (class_of(site.node.op) != OpClass::binary) return std::nullopt;
  const std::optional<double> neutral = neutral_right(site.node.op, site.type().dtype);
  if (!neutral) return std::nullopt;
  if (always(site.graph, site.operand(1), *neutral)) return site.operand(0);
  if (commutes(site.node.op) && always(site.graph, site.operand(0), *neutral)) return site.operand(1);
  return std::nullopt;
}

std::optional<ValueId> drop_double_inversion(const Site& site) {
  const Op op = site.node.op;
  if (op != Op::neg && op != Op::bit_not && op != Op::logical_not) return std::nullopt;
  if (op == Op::logical_not && site.type().dtype != DType::boolean) return std::nullopt;
  const Node* inner = same_below(site);
  if (inner == nullptr || site.graph.type(inner->inputs[0]) != site.type()) return std::nullopt;
  return inner->inputs[0];
}

std::optional<ValueId> compose_movements(const Site& site) {
  const char* map = nullptr;
  switch (site.node.op) {
    case Op::reshape: break;
    case Op::transpose: map = "order"; break;
    case Op::broadcast: map = "dims"; break;
    default: return std::nullopt;
  }
  const Node* inner = same_below(site);
  if (inner == nullptr) return std::nullopt;
  Attributes attributes = site.node.attributes;
  if (map != nullptr) {
    // A transpose maps result dimensions to operand dimensions, a broadcast the other way round.
    const bool backwards = site.node.op == Op::transpose;
    const Dims& first = backwards ? site.node.attributes.integers(map) : inner->attributes.integers(map);
    const Dims& then = backwards ? inner->attributes.integers(map) : site.node.attributes.integers(map);
    Dims composed;
    for (const std::int64_t d : first) composed.push_back(then[static_cast<std::size_t>(d)]);
    attributes.set(map, std::move(composed));
  }
  return site.emit({site.node.op, {}, std::move(attributes), {inner->inputs[0]}, {}, std::nullopt, {}});
}

std::optional<ValueId> drop_identity(const Site& site) {
  if (site.node.inputs.empty()) return std::nullopt;
  if (is_identity(site)) return site.operand();
  if (site.node.op == Op::reduce_sum && site.node.attributes.integers("dims").empty()) return emit_plus_zero(site);
  return std::nullopt;
}

std::optional<ValueId> resolve_select(const Site& site) {
  if (site.node.op != Op::select) return std::nullopt;
  if (site.operand(1) == site.operand(2)) return site.operand(1);
  const std::optional<Tensor> condition = splat_of(site.graph, site.operand(0));
  if (!condition) return std::nullopt;
  return site.operand(condition->as_int(0) != 0 ? 1 : 2);
}

}  // namespace weft::simplification
