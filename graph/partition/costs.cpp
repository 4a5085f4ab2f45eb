// Costs are sums over nodes; a value that several readers want alike is brought there once.
#include "graph/partition/costs.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace weft {
namespace {

double bytes_of(const TensorType& type) {
  return static_cast<double>(type.shape.elements()) * static_cast<double>(size_of(type.dtype));
}

double product_of(const Shape& shape, const Dims& dims) {
  double n = 1;
  for (const std::int64_t d : dims) n *= static_cast<double>(shape[static_cast<int>(d)]);
  return n;
}

}  // namespace

double flops_of(const Graph& graph, const Node& node) {
  const auto elements = [&](ValueId v) { return static_cast<double>(graph.type(v).shape.elements()); };
  switch (node.op) {
    case Op::dot_general:
      return 2 * elements(node.outputs[0]) *
             product_of(graph.type(node.inputs[0]).shape, node.attributes.integers("x_contract"));
    // Positions of the activations beside the filter, times the filter's inputs.
    case Op::conv_general:
    case Op::conv_data_grad: {
      const Shape& filter = graph.type(node.inputs[1]).shape;
      const ValueId outputs = node.op == Op::conv_general ? node.outputs[0] : node.inputs[0];
      return 2 * elements(outputs) * static_cast<double>(filter.elements()) / static_cast<double>(filter[0]);
    }
    case Op::conv_filter_grad: {
      const Shape& filter = graph.type(node.outputs[0]).shape;
      return 2 * elements(node.inputs[1]) * static_cast<double>(filter.elements()) / static_cast<double>(filter[0]);
    }
    case Op::attention:
    case Op::attention_grad: {
      const std::size_t q = node.op == Op::attention ? 0 : 1;
      const Shape& keys = graph.type(node.inputs[q + 1]).shape;
      return (q == 0 ? 4 : 10) * elements(node.inputs[q]) * static_cast<double>(keys[1]);
    }
    default: return 0;
  }
}

namespace {

/// The part of the whole that the rank with most has.
double share(const AxisPlacement& p) {
  if (!is_split(p) || p.block_extent() == 0) return 1;
  return static_cast<double>(*std::max_element(p.extents.begin(), p.extents.end())) /
         static_cast<double>(p.block_extent());
}

class Bill {
 public:
  Bill(const Graph& graph, const Placements& placements, const SplitAxis& axis)
      : graph_(graph), placements_(placements), axis_(axis) {}

  StepCost total() {
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) add(graph_.nodes()[n], placements_.operands[n]);
    for (const auto& [v, to] : placements_.settled) exchange(v, partial(), to);
    for (const GraphInput& i : graph_.inputs())
      if (i.role == InputRole::state) cost_.touched += bytes_of(graph_.type(i.value)) * share(at(i.value));
    for (const GraphOutput& o : graph_.outputs()) {
      const ValueId state = o.role == OutputRole::state ? graph_.find_input(o.name) : kNone;
      bring(o.value, state == kNone ? replicated() : at(state));
    }
    return cost_;
  }

 private:
  const AxisPlacement& at(ValueId v) const { return placements_.values[static_cast<std::size_t>(v)]; }

  void add(const Node& node, const std::vector<AxisPlacement>& wanted) {
    double part = 1;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      bring(node.inputs[i], wanted[i]);
      part = std::min(part, share(wanted[i]));
    }
    cost_.flops += flops_of(graph_, node) * part;
    const bool reduces_cut = std::all_of(node.outputs.begin(), node.outputs.end(), [&](ValueId v) {
      return is_replicated(at(v)) && placements_.settled.count(v) == 0;
    });
    if (class_of(node.op) == OpClass::collective)  // over other axes
      cost_.moved += 2 * bytes_of(graph_.type(node.outputs[0])) * share(at(node.outputs[0]));
    for (const ValueId v : node.outputs) {
      cost_.touched += bytes_of(graph_.type(v)) * share(at(v));
      if (part < 1 && reduces_cut) exchange(v, partial(), replicated());
    }
  }

  void bring(ValueId v, const AxisPlacement& to) {
    if (at(v) == to || is_partial(to)) return;
    if (brought_.insert({v, static_cast<int>(to.kind), to.dimension, to.blocks}).second) exchange(v, at(v), to);
  }

  void exchange(ValueId v, const AxisPlacement& from, const AxisPlacement& to) {
    const double bytes = moved_bytes(graph_.type(v), from, to, axis_.size);
    cost_.moved += bytes;
    cost_.collectives += bytes > 0 ? 1 : 0;
  }

  const Graph& graph_;
  const Placements& placements_;
  const SplitAxis& axis_;
  StepCost cost_;
  std::set<std::tuple<ValueId, int, int, std::int64_t>> brought_;
};

}  // namespace

double moved_bytes(const TensorType& type, const AxisPlacement& from, const AxisPlacement& to, int ranks) {
  const double one_way = bytes_of(type) * (ranks - 1) / ranks;
  if (from == to || is_partial(to) || is_replicated(from)) return 0;
  return is_partial(from) && is_replicated(to) ? 2 * one_way : one_way;
}

StepCost cost_of(const Graph& graph, const Placements& placements, const SplitAxis& axis) {
  return Bill(graph, placements, axis).total();
}

double seconds(const StepCost& cost, const CostRates& rates) {
  return cost.flops / rates.flops + cost.touched / rates.memory + cost.moved / rates.network +
         cost.collectives * rates.latency;
}

}  // namespace weft
