// Reading `.onnx` files.
#include "graph/onnx/model_file.hpp"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <cstring>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/file_io.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft::onnx {
namespace {

constexpr std::int64_t kHashPart = 1 << 18;  // fits a cache

/// A model's bytes: in memory, or in a file.
struct Source {
  std::string name;  ///< for messages
  std::int64_t size = 0;
  ReadBytes read;
  DataPlaces places;
};

/// What is to be parsed, and where what it lacks is.
Skeleton skeleton_or_all(const Source& source, std::int64_t threshold) {
  if (auto skeleton = skeleton_of(source.size, source.read, threshold)) return *std::move(skeleton);
  Skeleton all;
  all.bytes.resize(static_cast<std::size_t>(source.size));
  source.read(0, source.size, all.bytes.data());
  return all;
}

void note_left_out(ModelContents& contents, const std::vector<LeftOut>& left_out) {
  const auto& initializers = contents.proto.graph().initializer();
  for (const LeftOut& l : left_out) {
    check_internal(l.initializer < initializers.size(), "an initializer was read that the parser does not see");
    contents.places.left_out.emplace(&initializers[l.initializer], l.bytes);
  }
}

ModelFile parse(Source source, const ModelLimits& limits) {
  const std::string name = source.name;
  try {
    if (source.size == 0) throw UserError("the file is empty");
    if (source.size > limits.file_bytes)
      throw UserError(fmt::format("{} bytes; at most {} are allowed", source.size, limits.file_bytes));
    auto contents = std::make_shared<ModelContents>();
    contents->path = name;
    const Skeleton skeleton = skeleton_or_all(source, source.places.file ? limits.left_in_file : source.size + 1);
    contents->places = std::move(source.places);
    google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(skeleton.bytes.data()),
                                                  static_cast<int>(skeleton.bytes.size()));
    // A subgraph takes three messages of nesting; protobuf's own bound is 100 and its parser is recursive.
    stream.SetRecursionLimit(4 * limits.nesting + 16);
    if (!contents->proto.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
      throw UserError(
          "is not an ONNX model, or is damaged: its protobuf encoding breaks off, or nests far too deep. "
          "Copy or export it again");
    note_left_out(*contents, skeleton.left_out);
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

std::uint64_t ModelFile::hash() const {
  check_internal(contents_->places.file != nullptr, "a model that was not read from a file has no hash");
  const OpenFile& file = *contents_->places.file;
  Hash64 hash;
  std::string part(kHashPart, '\0');
  for (std::int64_t at = 0; at < file.bytes(); at += kHashPart) {
    const std::int64_t length = std::min(file.bytes() - at, kHashPart);
    file.read(at, length, part.data());
    hash.update(std::string_view(part).substr(0, static_cast<std::size_t>(length)));
  }
  return hash.digest();
}

void ModelFile::forget_values(const std::set<std::string>& names) {
  if (!contents_->ties) contents_->ties = find_ties(*this);
  const auto is_elsewhere = [&](const std::string& name) {
    const auto tie = contents_->ties->find(name);
    return names.contains(name) || (tie != contents_->ties->end() && names.contains(tie->second.original));
  };
  DataPlaces& places = contents_->places;
  for (pb::TensorProto& tensor : *contents_->proto.mutable_graph()->mutable_initializer())
    if (const FileRange* range = places.find(tensor)) {
      if (is_elsewhere(tensor.name())) continue;
      std::string* bytes = tensor.mutable_raw_data();
      bytes->resize(static_cast<std::size_t>(range->length));
      places.file->read(range->offset, range->length, bytes->data());
    } else if (is_elsewhere(tensor.name())) {
      // A string that is cleared keeps its memory, a message that is replaced does not.
      pb::TensorProto header;
      header.set_name(tensor.name());
      header.set_data_type(tensor.data_type());
      header.set_doc_string(tensor.doc_string());
      *header.mutable_dims() = tensor.dims();
      tensor.Swap(&header);
    }
  places.left_out.clear();
  places.file.reset();
}

ModelFile load_model(const std::filesystem::path& path, const ModelLimits& limits) {
  auto file = std::make_shared<const OpenFile>(path, limits.file_bytes);
  const auto read = [file = file.get()](std::int64_t offset, std::int64_t length, char* to) {
    file->read(offset, length, to);
  };
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const std::int64_t size = file->bytes();
  return parse({path.string(), size, read, {folder, std::move(file), {}}}, limits);
}

ModelFile parse_model(std::span<const std::byte> bytes, const std::string& name, const ModelLimits& limits) {
  const auto read = [bytes](std::int64_t offset, std::int64_t length, char* to) {
    std::memcpy(to, bytes.data() + offset, static_cast<std::size_t>(length));
  };
  return parse({name, static_cast<std::int64_t>(bytes.size()), read, {}}, limits);
}

}  // namespace weft::onnx
