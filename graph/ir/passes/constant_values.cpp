// The cone of nodes that make a value, interpreted.
#include "graph/ir/passes/constant_values.hpp"

#include <set>

#include "graph/ir/interpret.hpp"

namespace weft {
namespace {

constexpr std::size_t kMostConeNodes = 400;
constexpr std::int64_t kMostConeElements = std::int64_t{1} << 22;

}  // namespace

const std::optional<Tensor>& ConstantValues::value(ValueId v) {
  const auto found = known_.find(v);
  return found != known_.end() ? found->second : known_.emplace(v, evaluate(v)).first->second;
}

std::optional<double> ConstantValues::uniform(ValueId v) {
  for (const Node* node = graph_.producer(v);
       node != nullptr && (node->op == Op::broadcast || node->op == Op::reshape || node->op == Op::transpose);
       node = graph_.producer(v))
    v = node->inputs[0];
  const std::optional<Tensor>& tensor = value(v);
  if (!tensor || tensor->elements() == 0) return std::nullopt;
  for (std::int64_t i = 1; i < tensor->elements(); ++i)
    if (!(tensor->as_double(i) == tensor->as_double(0))) return std::nullopt;
  return tensor->as_double(0);
}

std::optional<Tensor> ConstantValues::evaluate(ValueId v) const {
  std::set<NodeId> cone;
  std::vector<ValueId> open{v};
  while (!open.empty()) {
    const NodeId id = graph_.value(open.back()).producer;
    if (graph_.type(open.back()).shape.elements() > kMostConeElements) return std::nullopt;
    open.pop_back();
    if (id == kNone) return std::nullopt;
    if (!cone.insert(id).second) continue;
    const Node& node = graph_.node(id);
    const OpClass c = class_of(node.op);
    if (!node.bodies.empty() || c == OpClass::collective || node.op == Op::random_bits || node.op == Op::dropout ||
        cone.size() > kMostConeNodes)
      return std::nullopt;
    open.insert(open.end(), node.inputs.begin(), node.inputs.end());
  }
  Graph part;
  std::map<ValueId, ValueId> inside;
  for (const NodeId id : cone) {
    const Node& node = graph_.node(id);
    std::vector<ValueId> inputs;
    for (const ValueId x : node.inputs) inputs.push_back(inside.at(x));
    std::vector<TensorType> types;
    for (const ValueId y : node.outputs) types.push_back(graph_.type(y));
    const NodeId made = part.append(node.op, std::move(inputs), node.attributes, std::move(types), node.name);
    part.node(made).literal = node.literal;
    for (std::size_t i = 0; i < node.outputs.size(); ++i) inside[node.outputs[i]] = part.node(made).outputs[i];
  }
  part.add_output("value", OutputRole::fetch, inside.at(v));
  return interpret(part, {}).at("value");
}

}  // namespace weft
