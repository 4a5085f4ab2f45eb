// Descriptions of models for people and for `weft inspect --json`.
#include "graph/onnx/describe.hpp"

#include <fmt/format.h>

#include <map>
#include <unordered_set>

#include "graph/onnx/metadata.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

std::string type_text(const pb::TypeProto& type) {
  if (type.has_sequence_type()) return "sequence of " + type_text(type.sequence_type().elem_type());
  if (type.has_optional_type()) return "optional " + type_text(type.optional_type().elem_type());
  if (!type.has_tensor_type()) return "of a type that Weft does not know";
  std::string element = onnx_type_name(type.tensor_type().elem_type());
  try {
    element = name_of(dtype_of_onnx(type.tensor_type().elem_type(), ""));
  } catch (const UserError&) {  // keeps ONNX's name
  }
  if (!type.tensor_type().has_shape()) return element + "[...]";
  std::vector<std::string> extents;
  for (const auto& dim : type.tensor_type().shape().dim())
    extents.push_back(dim.has_dim_value()       ? std::to_string(dim.dim_value())
                      : dim.dim_param().empty() ? "?"
                                                : dim.dim_param());
  return fmt::format("{}[{}]", element, fmt::join(extents, ", "));
}

std::vector<PortDescription> describe_ports(const google::protobuf::RepeatedPtrField<pb::ValueInfoProto>& ports,
                                            const std::unordered_set<std::string>& left_out) {
  std::vector<PortDescription> result;
  for (const auto& port : ports)
    if (left_out.count(port.name()) == 0) result.push_back({port.name(), type_text(port.type())});
  return result;
}

const char* kind_text(InitializerKind kind) {
  return kind == InitializerKind::parameter ? "parameter" : kind == InitializerKind::state ? "state" : "constant";
}

}  // namespace

namespace {

/// Tensors with a module's name, added or joined to others, in files of PyTorch's older exporter, which notes nothing.
std::vector<std::string> left_out_parameters(const ModelFile& file) {
  const pb::GraphProto& graph = file.contents().proto.graph();
  std::vector<std::string> names;
  if (file.contents().proto.producer_name() != "pytorch" || !exporter_notes(graph).empty()) return names;
  for (const InitializerVerdict& verdict : judge_initializers(file)) {
    const auto type = dtype_from_name(verdict.type);
    const bool generated = verdict.name.starts_with("onnx::") || verdict.name.find('/') != std::string::npos ||
                           verdict.name.find("Constant") != std::string::npos;
    const bool joined = verdict.reason.find("(read by Add ") != std::string::npos ||
                        verdict.reason.find("(read by Concat ") != std::string::npos ||
                        verdict.reason.find("(read by Expand ") != std::string::npos;
    if (verdict.kind == InitializerKind::constant && type && is_float(*type) && verdict.extents.size() >= 2 && joined &&
        !generated)
      names.push_back(verdict.name);
  }
  return names;
}

}  // namespace

ModelDescription describe_model(const ModelFile& file) {
  const ModelContents& contents = file.contents();
  const pb::ModelProto& proto = contents.proto;
  ModelDescription d;
  d.producer = proto.producer_name();
  if (!proto.producer_version().empty()) d.producer += " " + proto.producer_version();
  d.ir_version = proto.ir_version();
  for (const auto& import : proto.opset_import())
    d.opsets.emplace_back(import.domain().empty() ? "ai.onnx" : import.domain(), import.version());
  d.nodes = static_cast<std::int64_t>(contents.nodes.size());
  std::map<std::string, std::int64_t> operators;
  for (const pb::NodeProto* node : contents.nodes)
    ++operators[domain_of(*node).empty() ? node->op_type() : domain_of(*node) + "." + node->op_type()];
  d.operators.assign(operators.begin(), operators.end());
  std::unordered_set<std::string> initializers;
  for (const auto& tensor : proto.graph().initializer()) initializers.insert(tensor.name());
  d.inputs = describe_ports(proto.graph().input(), initializers);
  d.outputs = describe_ports(proto.graph().output(), {});
  d.initializers = judge_initializers(file);
  for (const InitializerVerdict& verdict : d.initializers)
    if (verdict.kind == InitializerKind::parameter && verdict.tied_to.empty())
      d.parameter_count += Shape(verdict.extents).elements();
  d.warnings = training_warnings(file);
  return d;
}

std::vector<std::string> training_warnings(const ModelFile& file) {
  std::vector<std::string> warnings;
  if (const int folded = folded_batch_norms(file.contents()); folded > 0)
    warnings.push_back(fmt::format(
        "the exporter folded {} batch normalisation{} into the layers before: the model infers, but trains as a "
        "network "
        "without batch normalisation. Export it again for training: in PyTorch torch.onnx.export(..., dynamo=True, "
        "optimize=False), or with the older exporter (dynamo=False) training=torch.onnx.TrainingMode.TRAINING and "
        "do_constant_folding=False",
        folded, folded == 1 ? "" : "s"));
  if (const auto merged = merged_parameters(file.contents()); !merged.empty() && warnings.empty())
    warnings.push_back(fmt::format(
        "the exporter merged parameters that began with the same value throughout (fresh biases and scales): {} of the "
        "model's are not in the file, for instance '{}'; those that stand for them would train as one. Export it "
        "again for training: torch.onnx.export(..., dynamo=True, optimize=False)",
        merged.size(), merged.back()));
  if (const auto left = left_out_parameters(file); !left.empty())
    warnings.push_back(fmt::format(
        "{} floating tensor{} of the model {} added or joined to others and not trained, for the file does not say "
        "whether "
        "they are parameters (class tokens, positions) or constants: {}. `train: [NAME]` in the job trains them; "
        "torch.onnx.export(..., dynamo=True, optimize=False) writes files that say it",
        left.size(), left.size() == 1 ? "" : "s", left.size() == 1 ? "is" : "are", fmt::join(left, ", ")));
  return warnings;
}

std::string to_text(const ModelDescription& d) {
  std::string text = fmt::format("ONNX model, IR version {}, written by {}\n", d.ir_version,
                                 d.producer.empty() ? "an unnamed producer" : d.producer);
  for (const auto& [domain, version] : d.opsets) text += fmt::format("operator set {} {}\n", domain, version);
  for (const PortDescription& port : d.inputs) text += fmt::format("input   {} : {}\n", port.name, port.type);
  for (const PortDescription& port : d.outputs) text += fmt::format("output  {} : {}\n", port.name, port.type);
  text += fmt::format("{} nodes:", d.nodes);
  for (const auto& [name, count] : d.operators) text += fmt::format(" {} {}", count, name);
  text += fmt::format("\n{} initializers, {} numbers in parameters:\n", d.initializers.size(), d.parameter_count);
  for (const InitializerVerdict& v : d.initializers) {
    text += fmt::format("  {:<9} {} : {}{}: {}", kind_text(v.kind), v.name, v.type, to_string(v.extents), v.reason);
    if (!v.copy_of.empty()) text += fmt::format("; equal to '{}' bit for bit (`tie:` joins them)", v.copy_of);
    if (!v.tied_to.empty())
      text += fmt::format("; one parameter with '{}'{}", v.tied_to, v.transposed ? ", transposed" : "");
    text += '\n';
  }
  for (const std::string& warning : d.warnings) text += "warning: " + warning + '\n';
  return text;
}

}  // namespace weft::onnx
