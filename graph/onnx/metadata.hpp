// What exporters note in a model beside its graph: ONNX's metadata properties, and what PyTorch's exporter says in
// them.
//
// Nothing here is trusted: a note only names initializers that are checked to be what it says.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "graph/onnx/proto.hpp"

namespace weft::onnx {

using Metadata = std::map<std::string, std::string>;

/// Keys and values attached to a message; the properties came with ONNX 1.16, and are read where the message classes
/// are older too.
Metadata metadata_of(const pb::NodeProto& node);
Metadata metadata_of(const pb::ValueInfoProto& value);
Metadata metadata_of(const pb::GraphProto& graph);

/// A text field that the message classes may be too old to know; "" when it is not there.
std::string text_field(const google::protobuf::Message& message, int number);

/// What PyTorch's exporter (torch.onnx.export) says about one initializer.
struct ExporterNote {
  enum class Kind : std::uint8_t { none, parameter, buffer };
  Kind kind = Kind::none;
  std::vector<std::string> folded_from;  ///< names that it was computed from when the model was optimised
};

std::unordered_map<std::string, ExporterNote> exporter_notes(const pb::GraphProto& graph);

/// How many batch normalisations the exporter folded into the weights of the layer before them; 0 when there is no sign
/// of any. PyTorch's newer exporter leaves a note at each node, its older one gives the folded weights generated names.
int folded_batch_norms(const ModelContents& contents);

/// Parameters of the PyTorch model that the exporter merged into others because they held the same number throughout,
/// as fresh biases and scales do; empty when there is no sign of it.
std::vector<std::string> merged_parameters(const ModelContents& contents);

}  // namespace weft::onnx
