// Reading metadata properties, and the notes of PyTorch's exporter among them.
#include "graph/onnx/metadata.hpp"

#include <algorithm>
#include <sstream>
#include <string_view>
#include <unordered_set>

#include "graph/onnx/stored_bytes.hpp"

namespace weft::onnx {
namespace {

// Field numbers of `metadata_props` in onnx.proto.
constexpr int kValueMetadata = 4;
constexpr int kNodeMetadata = 9;
constexpr int kGraphMetadata = 16;

constexpr const char* kKindKey = "pkg.torch.export.graph_signature.InputSpec.kind";
constexpr const char* kFoldedKey = "pkg.onnxscript.optimizer.folded_from";
constexpr const char* kRuleKey = "pkg.onnxscript.rewriter.rule_name";
constexpr const char* kSignatureKey = "pkg.torch.export.ExportedProgram.graph_signature";
constexpr const char* kClassKey = "pkg.torch.onnx.class_hierarchy";

/// Every occurrence of a length-delimited field: messages as their encoding, texts as they are.
std::vector<std::string> raw_fields(const google::protobuf::Message& message, int number) {
  std::vector<std::string> found;
  const auto* reflection = message.GetReflection();
  if (const auto* field = message.GetDescriptor()->FindFieldByNumber(number)) {
    if (field->is_repeated()) {
      for (int i = 0; i < reflection->FieldSize(message, field); ++i)
        found.push_back(reflection->GetRepeatedMessage(message, field, i).SerializeAsString());
    } else if (reflection->HasField(message, field)) {
      found.push_back(reflection->GetString(message, field));
    }
    return found;
  }
  const auto& unknown = reflection->GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i)
    if (unknown.field(i).number() == number &&
        unknown.field(i).type() == google::protobuf::UnknownField::TYPE_LENGTH_DELIMITED)
      found.push_back(unknown.field(i).length_delimited());
  return found;
}

Metadata metadata_at(const google::protobuf::Message& message, int number) {
  Metadata metadata;
  for (const std::string& bytes : raw_fields(message, number)) {
    pb::StringStringEntryProto entry;
    if (entry.ParseFromString(bytes)) metadata[entry.key()] = entry.value();
  }
  return metadata;
}

/// The names in "['a', 'b']".
std::vector<std::string> quoted_names(std::string_view text) {
  std::vector<std::string> names;
  while (true) {
    const std::size_t open = text.find('\'');
    if (open == std::string_view::npos) return names;
    const std::size_t close = text.find('\'', open + 1);
    if (close == std::string_view::npos) return names;
    names.emplace_back(text.substr(open + 1, close - open - 1));
    text.remove_prefix(close + 1);
  }
}

bool contains(const Metadata& metadata, const char* key, std::string_view part) {
  const auto it = metadata.find(key);
  return it != metadata.end() && it->second.find(part) != std::string::npos;
}

/// The names in lines such as "p_fc_weight: PARAMETER target='fc.weight'".
std::vector<std::string> signature_parameters(const pb::GraphProto& graph) {
  const Metadata metadata = metadata_of(graph);
  const auto signature = metadata.find(kSignatureKey);
  std::vector<std::string> names;
  if (signature == metadata.end()) return names;
  std::istringstream lines(signature->second);
  for (std::string line; std::getline(lines, line);)
    if (const auto at = line.find(": PARAMETER target="); at != std::string::npos)
      for (std::string& name : quoted_names(std::string_view(line).substr(at))) names.push_back(std::move(name));
  return names;
}

/// Whether a parameter that is one number throughout is read by several nodes.
bool shares_a_uniform_parameter(const ModelContents& contents,
                                const std::unordered_map<std::string, ExporterNote>& notes) {
  std::unordered_map<std::string, int> readers;
  for (const pb::NodeProto* node : contents.nodes)
    for (const auto& input : node->input()) ++readers[input];
  for (const auto& tensor : contents.proto.graph().initializer()) {
    const auto note = notes.find(tensor.name());
    if (note != notes.end() && note->second.kind == ExporterNote::Kind::parameter && readers[tensor.name()] > 1 &&
        StoredBytes(tensor, contents.places).repeats_one_number())
      return true;
  }
  return false;
}

bool is_layer(const pb::NodeProto& node) {
  return domain_of(node).empty() &&
         (node.op_type() == "Conv" || node.op_type() == "ConvTranspose" || node.op_type() == "Gemm");
}

}  // namespace

Metadata metadata_of(const pb::NodeProto& node) { return metadata_at(node, kNodeMetadata); }
Metadata metadata_of(const pb::ValueInfoProto& value) { return metadata_at(value, kValueMetadata); }

Metadata metadata_of(const pb::GraphProto& graph) { return metadata_at(graph, kGraphMetadata); }

std::string text_field(const google::protobuf::Message& message, int number) {
  const std::vector<std::string> found = raw_fields(message, number);
  return found.empty() ? "" : found.back();
}

std::unordered_map<std::string, ExporterNote> exporter_notes(const pb::GraphProto& graph) {
  std::unordered_map<std::string, ExporterNote> notes;
  for (const auto& value : graph.value_info()) {
    const Metadata metadata = metadata_of(value);
    ExporterNote note;
    if (const auto kind = metadata.find(kKindKey); kind != metadata.end())
      note.kind = kind->second == "PARAMETER" ? ExporterNote::Kind::parameter : ExporterNote::Kind::buffer;
    if (const auto folded = metadata.find(kFoldedKey); folded != metadata.end())
      note.folded_from = quoted_names(folded->second);
    if (note.kind != ExporterNote::Kind::none || !note.folded_from.empty()) notes[value.name()] = std::move(note);
  }
  return notes;
}

int folded_batch_norms(const ModelContents& contents) {
  int folded = 0;
  const bool torchscript = contents.proto.producer_name() == "pytorch";
  for (const pb::NodeProto* node : contents.nodes) {
    if (!is_layer(*node)) continue;
    const Metadata metadata = metadata_of(*node);
    // TorchScript's exporter calls what it computed "onnx::Conv_123"; a layer of the user's keeps its name.
    const bool renamed = torchscript && node->op_type() != "Gemm" && node->input_size() > 2 &&
                         node->input(1).starts_with("onnx::Conv") && node->input(2).starts_with("onnx::Conv");
    folded += contains(metadata, kRuleKey, "BatchNorm") || contains(metadata, kClassKey, "batch_norm") || renamed;
  }
  return folded;
}

std::vector<std::string> merged_parameters(const ModelContents& contents) {
  const pb::GraphProto& graph = contents.proto.graph();
  const auto notes = exporter_notes(graph);
  if (!shares_a_uniform_parameter(contents, notes)) return {};
  std::unordered_set<std::string> present;
  for (const auto& tensor : graph.initializer()) present.insert(tensor.name());
  for (const auto& [name, note] : notes) present.insert(note.folded_from.begin(), note.folded_from.end());
  std::vector<std::string> merged;
  for (std::string& name : signature_parameters(graph))
    if (!present.contains(name)) merged.push_back(std::move(name));
  return merged;
}

}  // namespace weft::onnx
