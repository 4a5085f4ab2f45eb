// Graph construction, invariants and text form.
#include "weft/graph.hpp"

#include <fmt/format.h>

#include <set>

#include "weft/error.hpp"

namespace weft {

std::string TensorType::str() const { return fmt::format("{}{}", name_of(dtype), shape.str()); }

ValueId Graph::add_input(std::string name, InputRole role, TensorType type) {
  const auto id = static_cast<ValueId>(values_.size());
  values_.push_back({std::move(type), kNone, static_cast<int>(inputs_.size()), std::nullopt});
  inputs_.push_back({std::move(name), role, id});
  return id;
}

NodeId Graph::append(Op op, std::vector<ValueId> inputs, Attributes attributes, std::vector<TensorType> result_types,
                     std::string name) {
  const auto id = static_cast<NodeId>(nodes_.size());
  Node node{op, std::move(name), std::move(attributes), std::move(inputs), {}, std::nullopt, {}};
  for (std::size_t i = 0; i < result_types.size(); ++i) {
    node.outputs.push_back(static_cast<ValueId>(values_.size()));
    values_.push_back({std::move(result_types[i]), id, static_cast<int>(i), std::nullopt});
  }
  nodes_.push_back(std::move(node));
  return id;
}

void Graph::add_output(std::string name, OutputRole role, ValueId value) {
  outputs_.push_back({std::move(name), role, value});
}

const Node* Graph::producer(ValueId id) const {
  const NodeId node_id = value(id).producer;
  return node_id == kNone ? nullptr : &node(node_id);
}

Layout Graph::layout(ValueId id) const {
  const Value& v = value(id);
  return v.layout ? *v.layout : Layout::dense(v.type.shape);
}

ValueId Graph::find_input(std::string_view name) const {
  for (const GraphInput& i : inputs_)
    if (i.name == name) return i.value;
  return kNone;
}

ValueId Graph::find_output(std::string_view name) const {
  for (const GraphOutput& o : outputs_)
    if (o.name == name) return o.value;
  return kNone;
}

std::vector<std::vector<NodeId>> Graph::users() const {
  std::vector<std::vector<NodeId>> result(values_.size());
  for (std::size_t n = 0; n < nodes_.size(); ++n)
    for (const ValueId v : nodes_[n].inputs) {
      auto& list = result[static_cast<std::size_t>(v)];
      if (list.empty() || list.back() != static_cast<NodeId>(n)) list.push_back(static_cast<NodeId>(n));
    }
  return result;
}

void Graph::verify() const {
  const auto count = static_cast<ValueId>(values_.size());
  std::set<std::string> names;
  std::vector<bool> defined(values_.size(), false);
  for (const GraphInput& i : inputs_) {
    check_internal(i.value >= 0 && i.value < count && value(i.value).producer == kNone,
                   "graph input '" + i.name + "' names a wrong value");
    check_internal(names.insert(i.name).second, "graph has two inputs named '" + i.name + "'");
    defined[static_cast<std::size_t>(i.value)] = true;
  }
  for (std::size_t n = 0; n < nodes_.size(); ++n) {
    const Node& node = nodes_[n];
    const auto require = [&](bool holds, std::string_view what) {
      if (!holds) throw InternalError(fmt::format("node {} ({}, '{}'){}", n, name_of(node.op), node.name, what));
    };
    for (const ValueId v : node.inputs)
      require(v >= 0 && v < count && defined[static_cast<std::size_t>(v)], " reads a value that no earlier node makes");
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId v = node.outputs[i];
      require(v >= 0 && v < count && !defined[static_cast<std::size_t>(v)], " makes a value that exists already");
      require(value(v).producer == static_cast<NodeId>(n) && value(v).result == static_cast<int>(i),
              " and its value disagree");
      defined[static_cast<std::size_t>(v)] = true;
    }
    require((node.op == Op::constant) == node.literal.has_value(), ": exactly constants have a literal");
    for (const Graph& body : node.bodies) body.verify();
  }
  for (const GraphOutput& o : outputs_)
    check_internal(o.value >= 0 && o.value < count && defined[static_cast<std::size_t>(o.value)],
                   "graph output '" + o.name + "' names a wrong value");
}

std::string Graph::str() const {
  static constexpr const char* kInputRoles[] = {"feed", "state", "scalar"};
  static constexpr const char* kOutputRoles[] = {"fetch", "state"};
  const auto type_of = [&](ValueId id) {
    const Value& v = value(id);
    return v.layout && !v.layout->is_row_major() ? fmt::format("{}{}", name_of(v.type.dtype), v.layout->str())
                                                 : v.type.str();
  };
  std::string text;
  for (const GraphInput& i : inputs_)
    text +=
        fmt::format("%{} = {} \"{}\" : {}\n", i.value, kInputRoles[static_cast<int>(i.role)], i.name, type_of(i.value));
  for (const Node& node : nodes_) {
    std::vector<std::string> results, operands, types;
    for (const ValueId v : node.outputs) results.push_back(fmt::format("%{}", v)), types.push_back(type_of(v));
    for (const ValueId v : node.inputs) operands.push_back(fmt::format("%{}", v));
    text += fmt::format("{} = {}({}){}{} : {}{}\n", fmt::join(results, ", "), name_of(node.op),
                        fmt::join(operands, ", "), node.attributes.entries().empty() ? "" : " ", node.attributes.str(),
                        fmt::join(types, ", "), node.name.empty() ? "" : "  # " + node.name);
    for (const Graph& body : node.bodies) text += "{\n" + body.str() + "}\n";
  }
  for (const GraphOutput& o : outputs_)
    text += fmt::format("{} \"{}\" = %{}\n", kOutputRoles[static_cast<int>(o.role)], o.name, o.value);
  return text;
}

}  // namespace weft
