// Types against the operator table.
#include "graph/ir/passes/verify.hpp"

#include <fmt/format.h>

#include "graph/ir/op_rules.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

std::vector<TensorType> inferred(const Graph& graph, const Node& node) {
  std::vector<TensorType> operands;
  operands.reserve(node.inputs.size());
  for (const ValueId v : node.inputs) operands.push_back(graph.type(v));
  return rules_of(node.op).infer(node, operands);
}

void verify_types(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    const auto where = [&] { return fmt::format("node '{}' ({})", node.name, name_of(node.op)); };
    std::vector<TensorType> types;
    try {
      types = inferred(graph, node);
    } catch (const UserError& e) {
      throw InternalError(fmt::format("{} does not take its operands: {}", where(), e.what()));
    }
    if (types.size() != node.outputs.size())
      throw InternalError(fmt::format("{} has {} results instead of {}", where(), node.outputs.size(), types.size()));
    for (std::size_t i = 0; i < types.size(); ++i)
      if (graph.type(node.outputs[i]) != types[i])
        throw InternalError(fmt::format("{} makes {}, but its result is called {}", where(), types[i].str(),
                                        graph.type(node.outputs[i]).str()));
    for (const Graph& body : node.bodies) verify_types(body);
  }
}

}  // namespace

void verify_graph(const Graph& graph) {
  graph.verify();
  verify_types(graph);
}

}  // namespace weft
