// Which sums by index go into which tensors, and their nodes.
#include "graph/ir/passes/accumulate.hpp"

#include <map>
#include <set>
#include <utility>

#include "graph/ir/passes/rewrite.hpp"

namespace weft {
namespace {

/// The additions of `graph`, by their position, with the operand that is a sum by index for this addition alone.
std::map<NodeId, std::size_t> accumulations(const Graph& graph) {
  const std::vector<std::vector<NodeId>> users = graph.users();
  std::set<ValueId> outputs;
  for (const GraphOutput& o : graph.outputs()) outputs.insert(o.value);
  std::map<NodeId, std::size_t> found;
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes().size()); ++n) {
    const Node& node = graph.node(n);
    if (node.op != Op::add || node.inputs[0] == node.inputs[1]) continue;
    for (std::size_t i = 0; i < 2; ++i) {
      const ValueId v = node.inputs[i];
      const Node* maker = graph.producer(v);
      if (maker == nullptr || maker->op != Op::scatter_add || maker->attributes.integer("axis") != 0) continue;
      if (users[static_cast<std::size_t>(v)].size() != 1 || outputs.count(v) != 0) continue;
      found.emplace(n, i);
    }
  }
  return found;
}

ValueId accumulated(GraphBuilder& b, const Node& add, std::size_t scattered) {
  const Node sum = *b.graph().producer(add.inputs[scattered]);
  Dims tuples = b.shape(sum.inputs[0]).extents();
  tuples.push_back(1);
  return b.one(Op::scatter_nd, {add.inputs[1 - scattered], b.reshape(sum.inputs[0], Shape(tuples)), sum.inputs[1]},
               {{"kind", std::string("add")}});
}

}  // namespace

Graph accumulate_in_place(const Graph& graph) {
  const std::map<NodeId, std::size_t> found = accumulations(graph);
  bool outermost = true;
  return rewritten_with_memory(graph, [&]() -> Replacement {
    if (!std::exchange(outermost, false)) return [](GraphBuilder&, const Node&) { return std::nullopt; };
    return [&, next = NodeId{0}](GraphBuilder& b, const Node& node) mutable -> std::optional<std::vector<ValueId>> {
      const auto at = found.find(next++);
      if (at == found.end()) return std::nullopt;
      return std::vector<ValueId>{accumulated(b, node, at->second)};
    };
  });
}

}  // namespace weft
