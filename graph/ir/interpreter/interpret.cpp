// Graphs: nodes in order, each on the values of its operands; control flow by evaluating bodies.
#include "graph/ir/interpret.hpp"

#include <fmt/format.h>

#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/op_rules.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// Values of the graph's outputs, in order, from values of its inputs, in order. A value is dropped after its last use.
std::vector<Tensor> evaluate(const Graph& graph, std::vector<Tensor> inputs) {
  std::vector<int> uses(graph.values().size(), 0);
  for (const Node& node : graph.nodes())
    for (const ValueId v : node.inputs) ++uses[static_cast<std::size_t>(v)];
  for (const GraphOutput& o : graph.outputs()) ++uses[static_cast<std::size_t>(o.value)];

  std::vector<Tensor> values(graph.values().size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    values[static_cast<std::size_t>(graph.inputs()[i].value)] = std::move(inputs[i]);
  for (const Node& node : graph.nodes()) {
    std::vector<TensorType> types;
    for (const ValueId v : node.outputs) types.push_back(graph.type(v));
    std::vector<Tensor> operands;
    for (const ValueId v : node.inputs) operands.push_back(values[static_cast<std::size_t>(v)]);
    std::vector<Tensor> results = interpret_node(node, types, operands);
    for (const ValueId v : node.inputs)
      if (--uses[static_cast<std::size_t>(v)] == 0) values[static_cast<std::size_t>(v)] = Tensor();
    for (std::size_t i = 0; i < results.size(); ++i) {
      const auto v = static_cast<std::size_t>(node.outputs[i]);
      if (uses[v] > 0) values[v] = std::move(results[i]);
    }
  }
  std::vector<Tensor> outputs;
  for (const GraphOutput& o : graph.outputs()) outputs.push_back(values[static_cast<std::size_t>(o.value)]);
  return outputs;
}

std::vector<Tensor> evaluate_if(const Node& node, std::span<const Tensor> operands) {
  const Graph& body = node.bodies[operands[0].values<bool>()[0] ? 0 : 1];
  return evaluate(body, {operands.begin() + 1, operands.end()});
}

std::vector<Tensor> evaluate_while(const Node& node, std::span<const Tensor> operands) {
  std::vector<Tensor> carried(operands.begin(), operands.end());
  while (evaluate(node.bodies[0], carried)[0].values<bool>()[0]) carried = evaluate(node.bodies[1], carried);
  return carried;
}

/// A composite as a graph of its own: decomposed, then evaluated.
std::vector<Tensor> evaluate_composite(const Node& node, std::span<const Tensor> operands) {
  GraphBuilder builder;
  Node copy = node;
  copy.inputs.clear();
  for (const Tensor& operand : operands)
    copy.inputs.push_back(
        builder.input(fmt::format("{}", copy.inputs.size()), InputRole::feed, {operand.dtype(), operand.shape()}));
  const std::vector<ValueId> results = rules_of(node.op).decompose(builder, copy);
  for (const ValueId v : results) builder.output("", OutputRole::fetch, v);
  return evaluate(builder.graph(), {operands.begin(), operands.end()});
}

std::vector<Tensor> evaluate_node(const Node& node, std::span<const TensorType> types,
                                  std::span<const Tensor> operands) {
  using namespace interpreter;
  switch (class_of(node.op)) {
    case OpClass::source:
      if (node.op == Op::constant) return {*node.literal};
      return {node.op == Op::iota ? evaluate_iota(node) : evaluate_random_bits(node, operands)};
    case OpClass::unary: return {evaluate_unary(node, operands)};
    case OpClass::binary: return {evaluate_binary(node, operands)};
    case OpClass::compare: return {evaluate_compare(node, operands)};
    case OpClass::ternary: return {evaluate_select(operands)};
    case OpClass::movement: return {evaluate_movement(node, types[0], operands)};
    case OpClass::indexing: return {evaluate_indexing(node, types[0], operands)};
    case OpClass::reduction:
      if (node.op == Op::reduce_sum || node.op == Op::reduce_max || node.op == Op::reduce_min ||
          node.op == Op::reduce_prod)
        return {evaluate_reduction(node, types[0], operands)};
      return evaluate_scan(node, types, operands);
    case OpClass::contraction:
      if (node.op == Op::dot_general) return {evaluate_dot(node, types[0], operands)};
      if (node.op == Op::conv_general || node.op == Op::conv_data_grad || node.op == Op::conv_filter_grad)
        return {evaluate_convolution(node, types[0], operands)};
      return {evaluate_window(node, types[0], operands)};
    case OpClass::control: return node.op == Op::if_ ? evaluate_if(node, operands) : evaluate_while(node, operands);
    case OpClass::composite: return evaluate_composite(node, operands);
    case OpClass::collective: break;
  }
  throw InternalError(fmt::format("the interpreter runs on one rank and cannot evaluate the collective {} of node '{}'",
                                  name_of(node.op), node.name));
}

}  // namespace

std::vector<Tensor> interpret_node(const Node& node, const std::vector<TensorType>& result_types,
                                   const std::vector<Tensor>& operands) {
  std::vector<Tensor> results = evaluate_node(node, result_types, operands);
  check_internal(results.size() == result_types.size(), "interpreter: wrong number of results");
  for (std::size_t i = 0; i < results.size(); ++i)
    check_internal(
        results[i].dtype() == result_types[i].dtype && results[i].shape() == result_types[i].shape,
        fmt::format("interpreter: result {} of {} ('{}') has the wrong type", i, name_of(node.op), node.name));
  return results;
}

std::map<std::string, Tensor> interpret(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  std::vector<Tensor> values;
  for (const GraphInput& input : graph.inputs()) {
    const auto it = inputs.find(input.name);
    if (it == inputs.end()) throw UserError(fmt::format("no value was given for the graph's input '{}'", input.name));
    const TensorType given{it->second.dtype(), it->second.shape()};
    if (given != graph.type(input.value))
      throw UserError(fmt::format("the graph's input '{}' is {}, the value given is {}", input.name,
                                  graph.type(input.value).str(), given.str()));
    values.push_back(it->second);
  }
  std::vector<Tensor> results = evaluate(graph, std::move(values));
  std::map<std::string, Tensor> named;
  for (std::size_t i = 0; i < results.size(); ++i)
    named.insert_or_assign(graph.outputs()[i].name, std::move(results[i]));
  return named;
}

}  // namespace weft
