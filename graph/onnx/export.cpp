// Replacing initializers in a model and writing it.
//
// Values are written as they are read, one tensor at a time: a message that held them all, and its serialised bytes,
// would take twice the memory of the model at the end of a run that has none to spare.
#include "graph/onnx/export.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/file_io.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using google::protobuf::io::CodedOutputStream;

void check_fits(const pb::TensorProto& old, const TrainedValue& fresh, const std::string& path) {
  const Dims extents(old.dims().begin(), old.dims().end());
  if (old.data_type() == onnx_of_dtype(fresh.dtype) && extents == fresh.shape.extents()) return;
  throw UserError(
      fmt::format("{}: initializer '{}' is {}{} in the model, but {}{} among the trained values: "
                  "they belong to another model",
                  path, old.name(), onnx_type_name(old.data_type()), to_string(extents),
                  onnx_type_name(onnx_of_dtype(fresh.dtype)), fresh.shape.str()));
}

/// A matrix, its transpose read row by row.
TrainedValue turned(const TrainedValue& matrix) {
  const std::int64_t rows = matrix.shape[0], columns = matrix.shape[1];
  const auto width = static_cast<std::int64_t>(size_of(matrix.dtype));
  const auto whole = std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(rows * columns * width));
  matrix.read(0, *whole);
  const auto read = [=](std::int64_t offset, std::span<std::byte> to) {
    for (std::int64_t at = 0; at < std::ssize(to); at += width) {
      const std::int64_t element = (offset + at) / width, c = element / rows, r = element % rows;
      std::copy_n(whole->data() + (r * columns + c) * width, width, to.data() + at);
    }
  };
  return {matrix.dtype, Shape{columns, rows}, read};
}

void write_value(const TrainedValue& value, std::int64_t bytes, const ByteSink& sink) {
  constexpr std::int64_t kPart = 4 << 20;  // whole elements
  std::vector<std::byte> part(static_cast<std::size_t>(std::min(bytes, kPart)));
  for (std::int64_t at = 0; at < bytes; at += kPart) {
    const auto some = std::span(part).first(static_cast<std::size_t>(std::min(bytes - at, kPart)));
    value.read(at, some);
    sink({reinterpret_cast<const char*>(some.data()), some.size()});
  }
}

/// Where each replaced initializer's value comes from: a trained one of its own name, or, where the file holds a
/// parameter a second time under another name, that.
Ties sources_of(const ModelFile& original, const std::set<std::string>& trained) {
  const ModelContents& contents = original.contents();
  Ties sources;
  for (const auto& [name, tie] : contents.ties ? *contents.ties : find_ties(original))
    if (trained.contains(tie.original)) sources[name] = tie;
  for (const std::string& name : trained) sources[name] = {name, false};
  return sources;
}

/// A tensor of the file: a message, and, where `bytes` is not negative, that many bytes of raw data which it lacks.
struct Initializer {
  pb::TensorProto message;
  std::int64_t bytes = -1;

  std::int64_t size() const {
    const auto own = static_cast<std::int64_t>(message.ByteSizeLong());
    return bytes < 0 ? own : own + field_size(bytes);
  }
  /// A field of so many bytes with its tag, which is one byte for all fields here, and its length.
  static std::int64_t field_size(std::int64_t length) {
    return 1 + static_cast<std::int64_t>(CodedOutputStream::VarintSize64(static_cast<std::uint64_t>(length))) + length;
  }
};

/// What comes before the bytes of a field.
std::string field_header(int number, std::int64_t length) {
  constexpr int kLengthDelimited = 2;
  std::uint8_t header[16];
  header[0] = static_cast<std::uint8_t>(number << 3 | kLengthDelimited);
  const std::uint8_t* end = CodedOutputStream::WriteVarint64ToArray(static_cast<std::uint64_t>(length), header + 1);
  return {reinterpret_cast<const char*>(header), reinterpret_cast<const char*>(end)};
}

/// A model in parts: everything else of the model, everything else of its graph, the initializers.
struct Parts {
  std::string model, graph;
  std::vector<Initializer> initializers;

  std::int64_t graph_size() const {
    auto size = static_cast<std::int64_t>(graph.size());
    for (const Initializer& i : initializers) size += Initializer::field_size(i.size());
    return size;
  }
};

pb::TensorProto header_of(const pb::TensorProto& tensor) {
  pb::TensorProto header;
  header.set_name(tensor.name());
  header.set_data_type(tensor.data_type());
  *header.mutable_dims() = tensor.dims();
  if (!tensor.doc_string().empty()) header.set_doc_string(tensor.doc_string());
  return header;
}

Parts parts_of(const ModelContents& contents, const Ties& sources) {
  Parts parts;
  for (const pb::TensorProto& tensor : contents.proto.graph().initializer()) {
    Initializer& i = parts.initializers.emplace_back();
    const std::string where = "initializer '" + tensor.name() + "'";
    if (sources.contains(tensor.name())) {
      i.message = header_of(tensor);
      const Shape shape(Dims(tensor.dims().begin(), tensor.dims().end()));
      i.bytes = shape.elements() * static_cast<std::int64_t>(size_of(dtype_of_onnx(tensor.data_type(), where)));
    } else if (tensor.data_location() == pb::TensorProto::EXTERNAL) {
      i.message = proto_of(tensor_of(tensor, contents.places, where), tensor.name());
    } else {
      i.message = tensor;
      if (const FileRange* range = contents.places.find(tensor)) {
        std::string* bytes = i.message.mutable_raw_data();
        bytes->resize(static_cast<std::size_t>(range->length));
        contents.places.file->read(range->offset, range->length, bytes->data());
      }
    }
  }
  pb::ModelProto model = contents.proto;
  leave_training_mode(model);
  model.mutable_graph()->clear_initializer();
  parts.graph = model.graph().SerializeAsString();
  model.clear_graph();
  parts.model = model.SerializeAsString();
  return parts;
}

void write_parts(const Parts& parts, const Ties& sources, const StateReader& read, const std::string& path,
                 const ByteSink& sink) {
  sink(parts.model);
  sink(field_header(pb::ModelProto::kGraphFieldNumber, parts.graph_size()));
  sink(parts.graph);
  for (const Initializer& i : parts.initializers) {
    sink(field_header(pb::GraphProto::kInitializerFieldNumber, i.size()));
    sink(i.message.SerializeAsString());
    if (i.bytes < 0) continue;
    const Tie& source = sources.at(i.message.name());
    const TrainedValue value = source.transposed ? turned(read(source.original)) : read(source.original);
    check_fits(i.message, value, path);
    sink(field_header(pb::TensorProto::kRawDataFieldNumber, i.bytes));
    write_value(value, i.bytes, sink);
  }
}

}  // namespace

TrainedValue trained_value(const Tensor& tensor) {
  return {tensor.dtype(), tensor.shape(), [tensor](std::int64_t offset, std::span<std::byte> to) {
            std::copy_n(tensor.data() + offset, to.size(), to.data());
          }};
}

void export_model(const ModelFile& original, const std::set<std::string>& trained, const StateReader& read,
                  const std::filesystem::path& path) {
  const ModelContents& contents = original.contents();
  std::set<std::string> known;
  for (const auto& tensor : contents.proto.graph().initializer()) known.insert(tensor.name());
  for (const std::string& name : trained)
    if (!known.contains(name))
      throw UserError(fmt::format("{}: has no initializer '{}'; the trained values belong to another model",
                                  original.path(), name));
  const Ties sources = sources_of(original, trained);
  const Parts parts = parts_of(contents, sources);
  const std::int64_t size = static_cast<std::int64_t>(parts.model.size()) + Initializer::field_size(parts.graph_size());
  if (size >= (std::int64_t{1} << 31))
    throw UserError(fmt::format("{}: the model is larger than the 2 GiB that one ONNX file can hold", path.string()));
  write_file_atomically(path, [&](const ByteSink& sink) { write_parts(parts, sources, read, original.path(), sink); });
}

void export_model(const ModelFile& original, const std::map<std::string, Tensor>& trained,
                  const std::filesystem::path& path) {
  std::set<std::string> names;
  for (const auto& [name, value] : trained) names.insert(name);
  export_model(
      original, names, [&](const std::string& name) { return trained_value(trained.at(name)); }, path);
}

}  // namespace weft::onnx
