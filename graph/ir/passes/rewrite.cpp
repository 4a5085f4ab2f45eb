// Copying a graph node by node, with replacements.
#include "graph/ir/passes/rewrite.hpp"

#include "weft/error.hpp"

namespace weft {

Graph rewritten_with_memory(const Graph& graph, const std::function<Replacement()>& make) {
  const Replacement replacement = make();
  GraphBuilder builder;
  std::vector<ValueId> mapped(graph.values().size(), kNone);
  for (const GraphInput& input : graph.inputs())
    mapped[static_cast<std::size_t>(input.value)] = builder.input(input.name, input.role, graph.type(input.value));
  for (const Node& node : graph.nodes()) {
    Node copy = node;
    for (ValueId& v : copy.inputs) v = mapped[static_cast<std::size_t>(v)];
    for (Graph& body : copy.bodies) body = rewritten_with_memory(body, make);
    const ScopedName name(builder, node.name);
    std::optional<std::vector<ValueId>> results = replacement(builder, copy);
    if (!results) results = builder.append(std::move(copy));
    check_internal(results->size() == node.outputs.size(), "rewritten: a replacement has too few or too many results");
    for (std::size_t i = 0; i < results->size(); ++i) {
      check_internal(builder.type((*results)[i]) == graph.type(node.outputs[i]),
                     "rewritten: the replacement of " + node.name + " has another type");
      mapped[static_cast<std::size_t>(node.outputs[i])] = (*results)[i];
    }
  }
  for (const GraphOutput& output : graph.outputs())
    builder.output(output.name, output.role, mapped[static_cast<std::size_t>(output.value)]);
  return std::move(builder).take();
}

Graph rewritten(const Graph& graph, const Replacement& replacement) {
  return rewritten_with_memory(graph, [&] { return replacement; });
}

}  // namespace weft
