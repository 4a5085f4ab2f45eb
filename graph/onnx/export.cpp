// Replacing initializers in a model and writing it.
#include "graph/onnx/export.hpp"

#include <fmt/format.h>

#include <unordered_map>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/file_io.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

void check_fits(const pb::TensorProto& old, const Tensor& fresh, const std::string& path) {
  const Dims extents(old.dims().begin(), old.dims().end());
  if (old.data_type() == onnx_of_dtype(fresh.dtype()) && extents == fresh.shape().extents()) return;
  throw UserError(
      fmt::format("{}: initializer '{}' is {}{} in the model, but {}{} among the trained values: "
                  "they belong to another model",
                  path, old.name(), onnx_type_name(old.data_type()), to_string(extents),
                  onnx_type_name(onnx_of_dtype(fresh.dtype())), fresh.shape().str()));
}

Tensor turned(const Tensor& matrix) {
  const std::int64_t rows = matrix.shape()[0], columns = matrix.shape()[1];
  const auto width = static_cast<std::int64_t>(size_of(matrix.dtype()));
  Tensor result(matrix.dtype(), Shape{columns, rows});
  std::byte* to = result.mutable_data();
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      std::copy_n(matrix.data() + (r * columns + c) * width, width, to + (c * rows + r) * width);
  return result;
}

/// `trained`, with what the file holds a second time under another name.
std::map<std::string, Tensor> with_ties(const ModelFile& original, const std::map<std::string, Tensor>& trained) {
  std::map<std::string, Tensor> all = trained;
  for (const InitializerVerdict& verdict : judge_initializers(original))
    if (const auto it = trained.find(verdict.tied_to); it != trained.end() && !trained.contains(verdict.name))
      all[verdict.name] = verdict.transposed ? turned(it->second) : it->second;
  return all;
}

}  // namespace

void export_model(const ModelFile& original, const std::map<std::string, Tensor>& trained,
                  const std::filesystem::path& path) {
  const ModelContents& contents = original.contents();
  pb::ModelProto model = contents.proto;
  std::unordered_map<std::string, pb::TensorProto*> initializers;
  for (auto& tensor : *model.mutable_graph()->mutable_initializer()) initializers[tensor.name()] = &tensor;
  for (const auto& [name, value] : with_ties(original, trained)) {
    const auto it = initializers.find(name);
    if (it == initializers.end())
      throw UserError(fmt::format("{}: has no initializer '{}'; the trained values belong to another model",
                                  original.path(), name));
    check_fits(*it->second, value, original.path());
    const std::string documentation = it->second->doc_string();
    *it->second = proto_of(value, name);
    if (!documentation.empty()) it->second->set_doc_string(documentation);
  }
  for (auto& [name, tensor] : initializers)
    if (tensor->data_location() == pb::TensorProto::EXTERNAL)
      *tensor = proto_of(tensor_of(*tensor, contents.folder, "initializer '" + name + "'"), name);
  leave_training_mode(model);
  std::string bytes;
  if (model.ByteSizeLong() >= (std::size_t{1} << 31) || !model.SerializeToString(&bytes))
    throw UserError(fmt::format("{}: the model is larger than the 2 GiB that one ONNX file can hold", path.string()));
  write_file_atomically(path, bytes);
}

}  // namespace weft::onnx
