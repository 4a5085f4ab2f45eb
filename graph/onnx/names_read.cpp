// Which values of a graph somebody reads: what is written but not read need not be computed.
#include "graph/onnx/proto.hpp"

namespace weft::onnx {

void add_names_read(const pb::NodeProto& node, std::unordered_set<std::string>& names) {
  names.insert(node.input().begin(), node.input().end());
  for (const auto& attribute : node.attribute()) {
    if (attribute.has_g()) add_names_read(attribute.g(), names);
    for (const auto& graph : attribute.graphs()) add_names_read(graph, names);
  }
}

void add_names_read(const pb::GraphProto& graph, std::unordered_set<std::string>& names) {
  for (const auto& node : graph.node()) add_names_read(node, names);
  for (const auto& output : graph.output()) names.insert(output.name());
}

}  // namespace weft::onnx
