// Building ModelProto messages.
#include "graph/onnx/model_writer.hpp"

#include "graph/onnx/file_io.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

struct SetAttribute {
  pb::AttributeProto& to;

  void operator()(std::int64_t value) const {
    to.set_type(pb::AttributeProto::INT);
    to.set_i(value);
  }
  void operator()(double value) const {
    to.set_type(pb::AttributeProto::FLOAT);
    to.set_f(static_cast<float>(value));
  }
  void operator()(const std::string& value) const {
    to.set_type(pb::AttributeProto::STRING);
    to.set_s(value);
  }
  void operator()(const Dims& values) const {
    to.set_type(pb::AttributeProto::INTS);
    for (const std::int64_t v : values) to.add_ints(v);
  }
  void operator()(const std::vector<double>& values) const {
    to.set_type(pb::AttributeProto::FLOATS);
    for (const double v : values) to.add_floats(static_cast<float>(v));
  }
  void operator()(const std::vector<std::string>& values) const {
    to.set_type(pb::AttributeProto::STRINGS);
    for (const std::string& v : values) to.add_strings(v);
  }
  void operator()(DType value) const { (*this)(std::int64_t{onnx_of_dtype(value)}); }
};

void set_port(pb::ValueInfoProto& port, const std::string& name, DType type,
              const std::vector<ModelWriter::Dim>& shape) {
  port.set_name(name);
  auto& tensor = *port.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx_of_dtype(type));
  tensor.mutable_shape();
  for (const ModelWriter::Dim& dim : shape) {
    auto& to = *tensor.mutable_shape()->add_dim();
    if (const auto* extent = std::get_if<std::int64_t>(&dim))
      to.set_dim_value(*extent);
    else
      to.set_dim_param(std::get<std::string>(dim));
  }
}

}  // namespace

struct ModelWriter::State {
  std::shared_ptr<ModelContents> contents = std::make_shared<ModelContents>();
  pb::GraphProto& graph() const { return *contents->proto.mutable_graph(); }
};

ModelWriter::ModelWriter(const std::string& graph_name, std::int64_t opset) : state_(std::make_unique<State>()) {
  pb::ModelProto& model = state_->contents->proto;
  state_->contents->path = graph_name;
  model.set_ir_version(opset < 19 ? 8 : 9);  // that of the ONNX release which brought the opset
  model.set_producer_name("weft");
  auto& imported = *model.add_opset_import();
  imported.set_domain("");
  imported.set_version(opset);
  state_->graph().set_name(graph_name);
}

ModelWriter::~ModelWriter() = default;
ModelWriter::ModelWriter(ModelWriter&&) noexcept = default;
ModelWriter& ModelWriter::operator=(ModelWriter&&) noexcept = default;

std::string ModelWriter::input(const std::string& name, DType type, const std::vector<Dim>& shape) {
  set_port(*state_->graph().add_input(), name, type, shape);
  return name;
}

std::string ModelWriter::initializer(const std::string& name, const Tensor& value) {
  *state_->graph().add_initializer() = proto_of(value, name);
  return name;
}

namespace {

pb::NodeProto& add_node(pb::GraphProto& graph, const std::string& op, const std::vector<std::string>& inputs,
                        const std::string& name, const Attributes& attributes) {
  pb::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(name);
  for (const std::string& input : inputs) node.add_input(input);
  for (const auto& [key, value] : attributes.entries()) {
    pb::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(key);
    std::visit(SetAttribute{attribute}, value);
  }
  return node;
}

}  // namespace

std::string ModelWriter::node(const std::string& op, const std::vector<std::string>& inputs, const std::string& name,
                              const Attributes& attributes, const std::string& result) {
  pb::NodeProto& node = add_node(state_->graph(), op, inputs, name, attributes);
  node.add_output(result.empty() ? name + "/out" : result);
  return node.output(0);
}

std::vector<std::string> ModelWriter::node_of(int results, const std::string& op,
                                              const std::vector<std::string>& inputs, const std::string& name,
                                              const Attributes& attributes) {
  pb::NodeProto& node = add_node(state_->graph(), op, inputs, name, attributes);
  for (int i = 0; i < results; ++i) node.add_output(name + "/out" + std::to_string(i));
  return {node.output().begin(), node.output().end()};
}

void ModelWriter::output(const std::string& value, DType type, const std::vector<Dim>& shape) {
  set_port(*state_->graph().add_output(), value, type, shape);
}

ModelFile ModelWriter::finish() && {
  check_model(*state_->contents, ModelLimits{});
  return ModelFile(std::move(state_->contents));
}

void write_model(const ModelFile& model, const std::filesystem::path& path) {
  const pb::ModelProto& proto = model.contents().proto;
  std::string bytes;
  if (proto.ByteSizeLong() >= (std::size_t{1} << 31) || !proto.SerializeToString(&bytes))
    throw UserError(path.string() + ": the model is larger than the 2 GiB that one ONNX file can hold");
  write_file_atomically(path, bytes);
}

}  // namespace weft::onnx
