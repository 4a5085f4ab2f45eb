// Reading `.onnx` files.
#include "graph/onnx/model_file.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/file_io.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

ModelFile parse(const char* data, std::size_t size, const std::string& name, const std::filesystem::path& folder,
                const ModelLimits& limits) {
  try {
    if (size == 0) throw UserError("the file is empty");
    if (static_cast<std::int64_t>(size) > limits.file_bytes)
      throw UserError(fmt::format("{} bytes; at most {} are allowed", size, limits.file_bytes));
    auto contents = std::make_shared<ModelContents>();
    contents->path = name;
    contents->folder = folder;
    google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(data), static_cast<int>(size));
    // A subgraph takes three messages of nesting; protobuf's own bound is 100 and its parser is recursive.
    stream.SetRecursionLimit(4 * limits.nesting + 16);
    if (!contents->proto.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
      throw UserError(
          "is not an ONNX model, or is damaged: its protobuf encoding breaks off, or nests far too deep. "
          "Copy or export it again");
    expand_functions(*contents, limits);
    check_model(*contents, limits);
    return ModelFile(std::move(contents));
  } catch (Error& e) {
    e.add_context(name);
    throw;
  }
}

}  // namespace

const std::string& ModelFile::path() const { return contents_->path; }

Ties find_ties(const ModelFile& file) {
  Ties ties;
  for (const InitializerVerdict& verdict : judge_initializers(file))
    if (!verdict.tied_to.empty()) ties[verdict.name] = {verdict.tied_to, verdict.transposed};
  return ties;
}

void ModelFile::forget_values(const std::set<std::string>& names) {
  if (!contents_->ties) contents_->ties = find_ties(*this);
  const auto is_elsewhere = [&](const std::string& name) {
    const auto tie = contents_->ties->find(name);
    return names.contains(name) || (tie != contents_->ties->end() && names.contains(tie->second.original));
  };
  for (pb::TensorProto& tensor : *contents_->proto.mutable_graph()->mutable_initializer())
    if (is_elsewhere(tensor.name())) {
      // A string that is cleared keeps its memory, a message that is replaced does not.
      pb::TensorProto header;
      header.set_name(tensor.name());
      header.set_data_type(tensor.data_type());
      header.set_doc_string(tensor.doc_string());
      *header.mutable_dims() = tensor.dims();
      tensor.Swap(&header);
    }
}

ModelFile load_model(const std::filesystem::path& path, const ModelLimits& limits) {
  const std::string bytes = read_file(path, limits.file_bytes);
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  return parse(bytes.data(), bytes.size(), path.string(), folder, limits);
}

ModelFile parse_model(std::span<const std::byte> bytes, const std::string& name, const ModelLimits& limits) {
  return parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), name, {}, limits);
}

}  // namespace weft::onnx
