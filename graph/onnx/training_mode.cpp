// Normalisation and dropout as a file for inference has them.
//
// An exporter asked for a model to train writes batch normalisation that normalises with the batch's own statistics,
// and dropout that drops. In Weft the verb decides that, not the file (graph/onnx/ops/normalization.cpp); whoever runs
// the trained file elsewhere wants inference.
#include <unordered_set>

#include "graph/onnx/proto.hpp"

namespace weft::onnx {
namespace {

using NodeList = google::protobuf::RepeatedPtrField<pb::NodeProto>;

bool reads_more_than_the_first(const pb::NodeProto& node, const std::unordered_set<std::string>& names) {
  for (int i = 1; i < node.output_size(); ++i)
    if (names.contains(node.output(i))) return true;
  return false;
}

void leave_training_mode(pb::NodeProto& node) {
  auto& outputs = *node.mutable_output();
  if (outputs.size() > 1) outputs.DeleteSubrange(1, outputs.size() - 1);
  if (node.op_type() == "Dropout" && node.input_size() > 2) node.mutable_input()->DeleteSubrange(2, 1);
  for (auto& attribute : *node.mutable_attribute())
    if (attribute.name() == "training_mode") attribute.set_i(0);
}

void leave_training_mode(NodeList& nodes, const std::unordered_set<std::string>& names) {
  for (auto& node : nodes)
    if (domain_of(node).empty() && (node.op_type() == "BatchNormalization" || node.op_type() == "Dropout") &&
        !reads_more_than_the_first(node, names))
      leave_training_mode(node);
}

}  // namespace

void leave_training_mode(pb::ModelProto& model) {
  std::unordered_set<std::string> names;
  add_names_read(model.graph(), names);
  leave_training_mode(*model.mutable_graph()->mutable_node(), names);
  for (auto& function : *model.mutable_functions()) {
    std::unordered_set<std::string> read(function.output().begin(), function.output().end());
    for (const auto& node : function.node()) add_names_read(node, read);
    leave_training_mode(*function.mutable_node(), read);
  }
}

}  // namespace weft::onnx
