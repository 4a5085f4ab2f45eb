// Kernel bodies from nodes of the step graph.
#include "graph/lowering/body.hpp"

#include <algorithm>

namespace weft::lowering {

namespace {

/// Contractions read their operands from memory, a single number too.
bool travels_inside(const Graph& graph, ValueId value, const Node& reader) {
  return is_scalar_constant(graph, value) && class_of(reader.op) != OpClass::contraction;
}

}  // namespace

bool is_scalar_constant(const Graph& graph, ValueId value) {
  const Node* node = graph.producer(value);
  return node != nullptr && node->op == Op::constant && graph.type(value).shape.elements() == 1;
}

Unit make_unit(const Graph& graph, const std::set<NodeId>& nodes, const std::vector<ValueId>& outputs,
               std::string name) {
  Unit unit;
  unit.name = std::move(name);
  unit.outputs = outputs;
  std::map<ValueId, ValueId> inside;
  const bool contracts = std::any_of(nodes.begin(), nodes.end(),
                                     [&](NodeId n) { return class_of(graph.node(n).op) == OpClass::contraction; });
  // Inputs first: a Graph's inputs may be added at any time, but a body reads better with them in one place.
  for (const NodeId n : nodes)
    for (const ValueId v : graph.node(n).inputs) {
      const NodeId producer = graph.value(v).producer;
      if ((producer != kNone && nodes.count(producer)) || inside.count(v)) continue;
      if (travels_inside(graph, v, graph.node(n))) continue;
      inside[v] = unit.body.add_input(std::to_string(unit.inputs.size()), InputRole::feed, graph.type(v));
      unit.inputs.push_back(v);
      unit.body.value(inside[v]).layout = contracts ? std::nullopt : graph.value(v).layout;
    }
  const auto copy_node = [&](const Node& node) {
    std::vector<ValueId> operands;
    for (const ValueId v : node.inputs) operands.push_back(inside.at(v));
    std::vector<TensorType> types;
    for (const ValueId v : node.outputs) types.push_back(graph.type(v));
    const NodeId made = unit.body.append(node.op, operands, node.attributes, types, node.name);
    unit.body.node(made).literal = node.literal;
    for (std::size_t i = 0; i < node.outputs.size(); ++i) inside[node.outputs[i]] = unit.body.node(made).outputs[i];
  };
  for (const NodeId n : nodes) {
    for (const ValueId v : graph.node(n).inputs)
      if (!inside.count(v) && travels_inside(graph, v, graph.node(n))) copy_node(*graph.producer(v));
    copy_node(graph.node(n));
    unit.nodes.push_back(n);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i)
    unit.body.add_output(std::to_string(i), OutputRole::fetch, inside.at(outputs[i]));
  return unit;
}

Graph with_input_layouts(const Graph& body, const std::vector<std::optional<Layout>>& layouts) {
  Graph result = body;
  for (std::size_t v = 0; v < result.values().size(); ++v) result.value(static_cast<ValueId>(v)).layout.reset();
  for (std::size_t i = 0; i < layouts.size(); ++i) result.value(result.inputs()[i].value).layout = layouts[i];
  return result;
}

Graph reorder_body(DType type, const Layout& from, const Layout& to) {
  Graph body;
  const TensorType moved{type, from.shape};
  const ValueId x = body.add_input("x", InputRole::feed, moved);
  const NodeId n = body.append(Op::reorder, {x}, {}, {moved});
  const ValueId y = body.node(n).outputs[0];
  body.add_output("y", OutputRole::fetch, y);
  body.value(x).layout = from;
  body.value(y).layout = to;
  return body;
}

}  // namespace weft::lowering
