// Greedy shrinking, one change at a time.
#include "tests/fuzz/shrink.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/prune.hpp"

namespace weft::fuzz {
namespace {

constexpr int kMostTries = 600;

/// What every value of the graph holds.
std::vector<Tensor> all_values(const Case& c) {
  Graph graph = c.graph;
  for (std::size_t v = 0; v < c.graph.values().size(); ++v)
    graph.add_output(fmt::format("value {}", v), OutputRole::fetch, static_cast<ValueId>(v));
  const auto by_name = interpret(graph, c.inputs);
  std::vector<Tensor> values;
  for (std::size_t v = 0; v < c.graph.values().size(); ++v) values.push_back(by_name.at(fmt::format("value {}", v)));
  return values;
}

/// What is asked for beside graph and inputs.
Case without_graph(const Case& c) { return {{}, {}, c.find_attention, c.compute}; }

/// A copy with one node replaced: by inputs that hold `values`, or, when `operand` is not kNone, by that operand; and
/// with the outputs for which `keep` says so. What is no longer needed goes.
Case changed(const Case& c, NodeId replaced, ValueId operand, const std::vector<Tensor>& values,
             const std::function<bool(const GraphOutput&)>& keep) {
  Case result = without_graph(c);
  std::vector<ValueId> now(c.graph.values().size(), kNone);
  const auto at = [&](ValueId v) -> ValueId& { return now[static_cast<std::size_t>(v)]; };
  for (const GraphInput& input : c.graph.inputs())
    at(input.value) = result.graph.add_input(input.name, input.role, c.graph.type(input.value));
  result.inputs = c.inputs;
  for (std::size_t i = 0; i < c.graph.nodes().size(); ++i) {
    const Node& node = c.graph.nodes()[i];
    if (static_cast<NodeId>(i) == replaced && operand != kNone) {
      at(node.outputs[0]) = at(operand);
      continue;
    }
    if (static_cast<NodeId>(i) == replaced) {
      for (const ValueId v : node.outputs) {
        std::string name = fmt::format("v{}", result.inputs.size());
        while (result.inputs.count(name) != 0) name += "_";
        at(v) = result.graph.add_input(name, InputRole::feed, c.graph.type(v));
        result.inputs[name] = values[static_cast<std::size_t>(v)];
      }
      continue;
    }
    std::vector<ValueId> operands;
    std::vector<TensorType> types;
    for (const ValueId v : node.inputs) operands.push_back(at(v));
    for (const ValueId v : node.outputs) types.push_back(c.graph.type(v));
    const NodeId id = result.graph.append(node.op, std::move(operands), node.attributes, std::move(types), node.name);
    result.graph.node(id).literal = node.literal;
    for (std::size_t r = 0; r < node.outputs.size(); ++r) at(node.outputs[r]) = result.graph.node(id).outputs[r];
  }
  for (const GraphOutput& o : c.graph.outputs())
    if (keep(o)) result.graph.add_output(o.name, o.role, at(o.value));
  result.graph = pruned(result.graph);
  return result;
}

/// Without inputs that nothing reads or replaces.
Case without_unused_inputs(const Case& c) {
  Case result = without_graph(c);
  const auto users = c.graph.users();
  std::vector<ValueId> now(c.graph.values().size(), kNone);
  for (const GraphInput& input : c.graph.inputs()) {
    bool used = !users[static_cast<std::size_t>(input.value)].empty();
    for (const GraphOutput& o : c.graph.outputs()) used = used || o.value == input.value || o.name == input.name;
    if (!used) continue;
    now[static_cast<std::size_t>(input.value)] =
        result.graph.add_input(input.name, input.role, c.graph.type(input.value));
    result.inputs[input.name] = c.inputs.at(input.name);
  }
  for (const Node& node : c.graph.nodes()) {
    std::vector<ValueId> operands;
    std::vector<TensorType> types;
    for (const ValueId v : node.inputs) operands.push_back(now[static_cast<std::size_t>(v)]);
    for (const ValueId v : node.outputs) types.push_back(c.graph.type(v));
    const NodeId id = result.graph.append(node.op, std::move(operands), node.attributes, std::move(types), node.name);
    result.graph.node(id).literal = node.literal;
    for (std::size_t r = 0; r < node.outputs.size(); ++r)
      now[static_cast<std::size_t>(node.outputs[r])] = result.graph.node(id).outputs[r];
  }
  for (const GraphOutput& o : c.graph.outputs())
    result.graph.add_output(o.name, o.role, now[static_cast<std::size_t>(o.value)]);
  return result;
}

std::vector<ValueId> operands_of_its_type(const Graph& graph, const Node& node) {
  std::vector<ValueId> found;
  if (node.outputs.size() == 1)
    for (const ValueId v : node.inputs)
      if (graph.type(v) == graph.type(node.outputs[0])) found.push_back(v);
  return found;
}

}  // namespace

Case shrunk(Case c, const std::string& failing_output, const std::function<bool(const Case&)>& fails) {
  int tries = 0;
  const auto all = [](const GraphOutput&) { return true; };
  const auto accept = [&](Case smaller) {
    smaller = without_unused_inputs(smaller);
    if (++tries > kMostTries || !fails(smaller)) return false;
    c = std::move(smaller);
    return true;
  };
  accept(changed(c, kNone, kNone, {}, [&](const GraphOutput& o) { return o.name == failing_output; }));
  for (bool again = true; again && tries < kMostTries;) {
    again = false;
    for (std::size_t o = c.graph.outputs().size(); o-- > 0 && c.graph.outputs().size() > 1;) {
      const std::string name = c.graph.outputs()[o].name;
      again |= accept(changed(c, kNone, kNone, {}, [&](const GraphOutput& out) { return out.name != name; }));
      o = std::min(o, c.graph.outputs().size());
    }
    const std::vector<Tensor> values = all_values(c);
    for (NodeId n = static_cast<NodeId>(c.graph.nodes().size()) - 1; n >= 0 && tries < kMostTries; --n) {
      const Node node = c.graph.node(n);
      bool done = accept(changed(c, n, kNone, values, all));
      for (const ValueId v : done ? std::vector<ValueId>{} : operands_of_its_type(c.graph, node))
        if ((done = accept(changed(c, n, v, values, all)))) break;
      if (!done) continue;
      again = true;
      break;  // ids have changed
    }
  }
  return c;
}

std::string str(const Case& c) {
  std::string text = c.graph.str();
  if (c.find_attention) text += "  with what with_attention finds\n";
  if (c.compute != DType::f32) text += fmt::format("  narrowed to {}\n", name_of(c.compute));
  for (const auto& [name, value] : c.inputs) {
    text += fmt::format("  {} =", name);
    for (std::int64_t i = 0; i < std::min<std::int64_t>(value.elements(), 12); ++i)
      text +=
          is_float(value.dtype()) ? fmt::format(" {:.9g}", value.as_double(i)) : fmt::format(" {}", value.as_int(i));
    text += value.elements() > 12 ? " …\n" : "\n";
  }
  return text;
}

}  // namespace weft::fuzz
