// Structural checks of an untrusted model: names, references, cycles, nesting and counts.
#include <fmt/format.h>

#include <functional>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Names = std::unordered_set<std::string>;
using NodeList = google::protobuf::RepeatedPtrField<pb::NodeProto>;

void collect_captured(const pb::GraphProto& graph, Names& found) {
  Names local;
  for (const auto& input : graph.input()) local.insert(input.name());
  for (const auto& initializer : graph.initializer()) local.insert(initializer.name());
  for (const auto& node : graph.node())
    for (const auto& output : node.output()) local.insert(output);
  const auto reads = [&](const std::string& name) {
    if (!name.empty() && local.count(name) == 0) found.insert(name);
  };
  for (const auto& node : graph.node()) {
    for (const auto& input : node.input()) reads(input);
    for (const std::string& name : captured_names(node)) reads(name);
  }
  for (const auto& output : graph.output()) reads(output.name());
}

class Checker {
 public:
  Checker(const ModelContents& contents, const ModelLimits& limits) : contents_(contents), limits_(limits) {}

  /// `outer`: the names that enclosing graphs define.
  void check_graph(const pb::GraphProto& graph, const NodeList& nodes, const std::vector<const Names*>& outer,
                   int depth) {
    if (depth > limits_.nesting)
      throw UserError(fmt::format("subgraphs are nested more than {} deep; real models nest a few", limits_.nesting));
    if (graph.sparse_initializer_size() > 0)
      throw UserError(
          fmt::format("graph '{}' has sparse initializers, which are not supported; store them dense", graph.name()));
    Names defined = inputs_and_initializers(graph);
    const auto exists = [&](const std::string& name) {
      if (defined.count(name) != 0) return true;
      for (const Names* names : outer)
        if (names->count(name) != 0) return true;
      return false;
    };
    check_outputs_unique(nodes, defined);
    sorted_nodes(nodes, exists);
    for (const auto& node : nodes)
      for (const auto& output : node.output()) defined.insert(output);
    for (const auto& output : graph.output())
      if (!exists(output.name()))
        throw UserError(
            fmt::format("graph output '{}' is made by no node; the file is damaged or was cut wrongly", output.name()));
    std::vector<const Names*> inner = outer;
    inner.push_back(&defined);
    for (const auto& node : nodes) check_node(node, inner, depth);
  }

 private:
  Names inputs_and_initializers(const pb::GraphProto& graph) {
    Names names;
    for (const auto& input : graph.input())
      if (!names.insert(input.name()).second)
        throw UserError(fmt::format("two graph inputs are named '{}'", input.name()));
    Names initializers;
    for (const auto& tensor : graph.initializer()) {
      if (tensor.name().empty()) throw UserError("an initializer has no name");
      if (!initializers.insert(tensor.name()).second)
        throw UserError(fmt::format("two initializers are named '{}'", tensor.name()));
      // A string table that nothing computes with does no harm here; its reader is refused on import.
      if (tensor.data_type() != pb::TensorProto::STRING)
        tensor_header(tensor, contents_.places, "initializer '" + tensor.name() + "'");
    }
    names.insert(initializers.begin(), initializers.end());
    return names;
  }

  void check_outputs_unique(const NodeList& nodes, const Names& defined) {
    Names outputs;
    for (const auto& node : nodes)
      for (const auto& output : node.output())
        if (!output.empty() && (defined.count(output) != 0 || !outputs.insert(output).second))
          throw UserError(fmt::format("{} makes '{}', which is made already: every name may be made once",
                                      describe_node(node), output));
  }

  void check_node(const pb::NodeProto& node, const std::vector<const Names*>& scopes, int depth) {
    if (++nodes_ > limits_.nodes)
      throw UserError(fmt::format("more than {} nodes, subgraphs included; split the model", limits_.nodes));
    Names attributes;
    for (const auto& attribute : node.attribute()) {
      if (!attributes.insert(attribute.name()).second)
        throw UserError(fmt::format("{} has attribute '{}' twice", describe_node(node), attribute.name()));
      if (attribute.has_g()) check_graph(attribute.g(), attribute.g().node(), scopes, depth + 1);
      for (const auto& graph : attribute.graphs()) check_graph(graph, graph.node(), scopes, depth + 1);
    }
  }

  const ModelContents& contents_;
  const ModelLimits& limits_;
  std::int64_t nodes_ = 0;
};

[[noreturn]] void throw_cycle(const NodeList& nodes, const std::vector<int>& waiting) {
  std::string text = "these nodes wait for each other's results, so that none can run:";
  int named = 0;
  for (int i = 0; i < nodes.size() && named < 8; ++i)
    if (waiting[static_cast<std::size_t>(i)] > 0) text += "\n    " + describe_node(nodes[i]), ++named;
  throw UserError(text + "\n  A model's graph has no cycles; the file is damaged or its exporter is at fault");
}

}  // namespace

std::string describe_node(const pb::NodeProto& node) {
  const std::string domain = domain_of(node).empty() ? "" : domain_of(node) + ".";
  if (!node.name().empty()) return fmt::format("{}{} node '{}'", domain, node.op_type(), node.name());
  return fmt::format("{}{} node (making '{}')", domain, node.op_type(), node.output_size() > 0 ? node.output(0) : "");
}

std::vector<std::string> captured_names(const pb::NodeProto& node) {
  Names found;
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) collect_captured(attribute.g(), found);
    for (const auto& graph : attribute.graphs()) collect_captured(graph, found);
  }
  return {found.begin(), found.end()};
}

std::vector<const pb::NodeProto*> sorted_nodes(const NodeList& nodes,
                                               const std::function<bool(const std::string&)>& exists) {
  std::unordered_map<std::string, int> maker;
  for (int i = 0; i < nodes.size(); ++i)
    for (const auto& output : nodes[i].output())
      if (!output.empty()) maker.emplace(output, i);
  const auto count = static_cast<std::size_t>(nodes.size());
  std::vector<int> waiting(count, 0);
  std::vector<std::vector<int>> readers(count);
  for (int i = 0; i < nodes.size(); ++i) {
    std::vector<std::string> reads(nodes[i].input().begin(), nodes[i].input().end());
    for (std::string& name : captured_names(nodes[i])) reads.push_back(std::move(name));
    for (const std::string& name : reads) {
      if (name.empty()) continue;
      if (const auto it = maker.find(name); it != maker.end()) {
        ++waiting[static_cast<std::size_t>(i)];
        readers[static_cast<std::size_t>(it->second)].push_back(i);
      } else if (!exists(name)) {
        throw UserError(
            fmt::format("{} reads '{}', which no node, input or initializer makes; "
                        "the file is damaged or was cut wrongly",
                        describe_node(nodes[i]), name));
      }
    }
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;  // keeps the file's order where it is sound
  for (int i = 0; i < nodes.size(); ++i)
    if (waiting[static_cast<std::size_t>(i)] == 0) ready.push(i);
  std::vector<const pb::NodeProto*> sorted;
  sorted.reserve(count);
  while (!ready.empty()) {
    const int i = ready.top();
    ready.pop();
    sorted.push_back(&nodes[i]);
    for (const int reader : readers[static_cast<std::size_t>(i)])
      if (--waiting[static_cast<std::size_t>(reader)] == 0) ready.push(reader);
  }
  if (sorted.size() != count) throw_cycle(nodes, waiting);
  return sorted;
}

std::int64_t ModelContents::opset(const std::string& domain) const {
  for (const auto& import : proto.opset_import())
    if ((import.domain() == "ai.onnx" ? "" : import.domain()) == domain) return import.version();
  return 0;
}

void check_model(ModelContents& contents, const ModelLimits& limits) {
  if (!contents.proto.has_graph()) throw UserError("there is no graph in the file: it is damaged or not an ONNX model");
  if (contents.proto.opset_import_size() == 0)
    throw UserError(
        "the model imports no operator set: it was written by an exporter from before ONNX 1.0, or damaged");
  Checker checker(contents, limits);
  const pb::GraphProto& graph = contents.proto.graph();
  const NodeList& nodes = contents.has_functions ? contents.expanded.node() : graph.node();
  checker.check_graph(graph, nodes, {}, 0);
  contents.nodes = sorted_nodes(nodes, [](const std::string&) { return true; });
}

}  // namespace weft::onnx
