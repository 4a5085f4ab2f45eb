// Liveness backwards from the outputs, then a copy of what lives.
#include "graph/ir/passes/prune.hpp"

#include <algorithm>

namespace weft {
namespace {

std::vector<bool> live_values(const Graph& graph) {
  std::vector<bool> live(graph.values().size(), false);
  for (const GraphOutput& output : graph.outputs()) live[static_cast<std::size_t>(output.value)] = true;
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    const bool read = std::any_of(node->outputs.begin(), node->outputs.end(),
                                  [&](ValueId v) { return live[static_cast<std::size_t>(v)]; });
    if (!read && class_of(node->op) != OpClass::collective) continue;
    for (const ValueId v : node->inputs) live[static_cast<std::size_t>(v)] = true;
    for (const ValueId v : node->outputs) live[static_cast<std::size_t>(v)] = true;
  }
  return live;
}

}  // namespace

Graph pruned(const Graph& graph) {
  const std::vector<bool> live = live_values(graph);
  Graph result;
  std::vector<ValueId> mapped(graph.values().size(), kNone);
  for (const GraphInput& input : graph.inputs())
    mapped[static_cast<std::size_t>(input.value)] = result.add_input(input.name, input.role, graph.type(input.value));
  for (const Node& node : graph.nodes()) {
    const bool lives = class_of(node.op) == OpClass::collective || live[static_cast<std::size_t>(node.outputs.at(0))];
    if (!lives) continue;
    std::vector<ValueId> inputs;
    for (const ValueId v : node.inputs) inputs.push_back(mapped[static_cast<std::size_t>(v)]);
    std::vector<TensorType> types;
    for (const ValueId v : node.outputs) types.push_back(graph.type(v));
    const NodeId id = result.append(node.op, std::move(inputs), node.attributes, std::move(types), node.name);
    Node& copy = result.node(id);
    copy.literal = node.literal;
    for (const Graph& body : node.bodies) copy.bodies.push_back(pruned(body));
    for (std::size_t i = 0; i < node.outputs.size(); ++i)
      mapped[static_cast<std::size_t>(node.outputs[i])] = copy.outputs[i];
  }
  for (const GraphOutput& output : graph.outputs())
    result.add_output(output.name, output.role, mapped[static_cast<std::size_t>(output.value)]);
  return result;
}

}  // namespace weft
