// Model-local functions: calls are replaced by the bodies, with names made unique by the call.
#include <fmt/format.h>

#include <map>
#include <tuple>

#include "graph/onnx/metadata.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using NodeList = google::protobuf::RepeatedPtrField<pb::NodeProto>;
// Field numbers of `overload` in onnx.proto: functions of one name told apart, since ONNX 1.16.
constexpr int kFunctionOverload = 13;
constexpr int kNodeOverload = 8;

using Renames = std::map<std::string, std::string>;

class Expander {
 public:
  Expander(const ModelContents& contents, const ModelLimits& limits) : limits_(limits) {
    for (const auto& function : contents.proto.functions()) {
      const std::string domain = function.domain() == "ai.onnx" ? "" : function.domain();
      if (!functions_
               .emplace(std::make_tuple(domain, function.name(), text_field(function, kFunctionOverload)), &function)
               .second)
        throw UserError(fmt::format("two functions are named '{}.{}'", domain, function.name()));
      for (const auto& import : function.opset_import())
        if (const std::int64_t version = contents.opset(import.domain()); version != 0 && version != import.version())
          throw UserError(
              fmt::format("function '{}' uses version {} of operator set '{}', the model version {}; "
                          "convert the model to one version",
                          function.name(), import.version(), import.domain(), version));
    }
  }

  void expand(const NodeList& from, NodeList& to, int depth) {
    if (depth > limits_.nesting)
      throw UserError(fmt::format(
          "functions and subgraphs are nested more than {} deep (a function that calls itself?)", limits_.nesting));
    for (const pb::NodeProto& node : from) {
      const auto it = functions_.find({domain_of(node), node.op_type(), text_field(node, kNodeOverload)});
      if (it != functions_.end()) {
        if (++count_ > limits_.nodes) throw UserError(fmt::format("more than {} calls of functions", limits_.nodes));
        pb::GraphProto body;
        instantiate(node, *it->second, body);
        bytes_ += static_cast<std::int64_t>(body.ByteSizeLong());
        if (bytes_ > limits_.expanded_bytes)
          throw UserError(
              fmt::format("the calls of functions expand to more than {} bytes (the last one was {}); keep large "
                          "constants out of functions",
                          limits_.expanded_bytes, describe_node(node)));
        expand(body.node(), to, depth + 1);
        continue;
      }
      if (++count_ > limits_.nodes)
        throw UserError(fmt::format("more than {} nodes after functions are expanded", limits_.nodes));
      pb::NodeProto& copy = *to.Add();
      copy = node;
      for (auto& attribute : *copy.mutable_attribute()) {
        if (!attribute.has_g()) continue;
        NodeList inner;
        expand(attribute.g().node(), inner, depth + 1);
        attribute.mutable_g()->mutable_node()->Swap(&inner);
      }
    }
  }

 private:
  void instantiate(const pb::NodeProto& call, const pb::FunctionProto& function, pb::GraphProto& body) {
    if (call.input_size() > function.input_size() || call.output_size() > function.output_size())
      throw UserError(fmt::format("{} passes {} inputs and takes {} outputs; function '{}' has {} and {}",
                                  describe_node(call), call.input_size(), call.output_size(), function.name(),
                                  function.input_size(), function.output_size()));
    Renames names;
    for (int i = 0; i < function.input_size(); ++i)
      names[function.input(i)] = i < call.input_size() ? call.input(i) : "";
    for (int i = 0; i < function.output_size(); ++i)
      if (i < call.output_size() && !call.output(i).empty()) names[function.output(i)] = call.output(i);
    std::map<std::string, const pb::AttributeProto*> given;
    for (const auto& attribute : call.attribute()) given[attribute.name()] = &attribute;
    const std::string prefix = fmt::format("{}/call{}/", function.name(), calls_++);
    *body.mutable_node() = function.node();
    for (int i = 0; i < call.output_size(); ++i)
      if (!call.output(i).empty()) pass_through(call, function, i, prefix, names, body);
    rename(*body.mutable_node(), names, given, prefix);
  }

  /// An output that is one of the function's inputs needs a node to carry the caller's name for it.
  static void pass_through(const pb::NodeProto& call, const pb::FunctionProto& function, int output,
                           const std::string& prefix, Renames& names, pb::GraphProto& body) {
    for (int i = 0; i < function.input_size() && i < call.input_size(); ++i) {
      if (function.input(i) != function.output(output)) continue;
      const std::string carrier = fmt::format("{}out{}", prefix, output);
      pb::NodeProto& node = *body.add_node();
      node.set_op_type("Identity");
      node.add_input(function.input(i));
      node.add_output(carrier);
      names[carrier] = call.output(output);
      names[function.input(i)] = call.input(i);
    }
  }

  void rename(NodeList& nodes, Renames names, const std::map<std::string, const pb::AttributeProto*>& given,
              const std::string& prefix) {
    const auto map = [&](std::string* name) {
      if (name->empty()) return;
      const auto it = names.find(*name);
      *name = it != names.end() ? it->second : prefix + *name;
    };
    for (pb::NodeProto& node : nodes) {
      for (auto& name : *node.mutable_input()) map(&name);
      for (auto& name : *node.mutable_output()) map(&name);
      node.set_name(prefix + (node.name().empty() ? node.op_type() : node.name()));
      bind_attributes(node, given);
      for (auto& attribute : *node.mutable_attribute()) {
        if (!attribute.has_g()) continue;
        pb::GraphProto& graph = *attribute.mutable_g();
        for (auto& input : *graph.mutable_input()) map(input.mutable_name());
        for (auto& initializer : *graph.mutable_initializer()) map(initializer.mutable_name());
        rename(*graph.mutable_node(), names, given, prefix);
        for (auto& output : *graph.mutable_output()) map(output.mutable_name());
      }
    }
  }

  /// Attributes that refer to the function's parameters take the call's values; those not given fall away.
  static void bind_attributes(pb::NodeProto& node, const std::map<std::string, const pb::AttributeProto*>& given) {
    auto& attributes = *node.mutable_attribute();
    for (int i = attributes.size() - 1; i >= 0; --i) {
      const std::string parameter = attributes[i].ref_attr_name();
      if (parameter.empty()) continue;
      const std::string name = attributes[i].name();
      const auto it = given.find(parameter);
      if (it == given.end()) {
        attributes.DeleteSubrange(i, 1);
      } else {
        attributes[i] = *it->second;
        attributes[i].set_name(name);
      }
    }
  }

  const ModelLimits& limits_;
  std::map<std::tuple<std::string, std::string, std::string>, const pb::FunctionProto*> functions_;
  std::int64_t count_ = 0;
  std::int64_t calls_ = 0;
  std::int64_t bytes_ = 0;  ///< of the bodies of all calls
};

}  // namespace

void expand_functions(ModelContents& contents, const ModelLimits& limits) {
  contents.has_functions = contents.proto.functions_size() > 0;
  if (!contents.has_functions) return;
  Expander(contents, limits).expand(contents.proto.graph().node(), *contents.expanded.mutable_node(), 0);
}

}  // namespace weft::onnx
