// TensorProto messages to Tensors and back: every storage form, bounds checked before memory is taken.
#include <fmt/format.h>

#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "graph/onnx/file_io.hpp"
#include "graph/onnx/narrow.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {

static_assert(std::endian::native == std::endian::little, "ONNX raw data is little-endian");

namespace {

struct TypePair {
  std::int32_t onnx;
  DType ours;
};
constexpr std::array<TypePair, kDTypeCount> kTypes = {{{pb::TensorProto::FLOAT, DType::f32},
                                                       {pb::TensorProto::DOUBLE, DType::f64},
                                                       {pb::TensorProto::FLOAT16, DType::f16},
                                                       {pb::TensorProto::BFLOAT16, DType::bf16},
                                                       {pb::TensorProto::INT64, DType::i64},
                                                       {pb::TensorProto::INT32, DType::i32},
                                                       {pb::TensorProto::INT16, DType::i16},
                                                       {pb::TensorProto::INT8, DType::i8},
                                                       {pb::TensorProto::UINT64, DType::u64},
                                                       {pb::TensorProto::UINT32, DType::u32},
                                                       {pb::TensorProto::UINT16, DType::u16},
                                                       {pb::TensorProto::UINT8, DType::u8},
                                                       {pb::TensorProto::BOOL, DType::boolean}}};

struct ExternalRange {
  std::filesystem::path file;
  std::int64_t offset = 0, length = 0;
};

std::int64_t parse_count(const std::string& text, const std::string& what, const std::string& where) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0)
    throw UserError(fmt::format("{}: external data: {} is '{}', not a count of bytes", where, what, text));
  return value;
}

std::filesystem::path external_file(const std::string& location, const std::filesystem::path& folder,
                                    const std::string& where) {
  if (folder.empty()) throw UserError(where + ": external data, but the model was not read from a folder");
  const std::filesystem::path relative = location;
  bool inside = !location.empty() && relative.is_relative();
  for (const auto& part : relative) inside = inside && part != "..";
  std::error_code error;
  const auto root = std::filesystem::canonical(folder, error);
  const auto file = error ? std::filesystem::path{} : std::filesystem::weakly_canonical(root / relative, error);
  inside = inside && !error && std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first == root.end();
  if (!inside)
    throw UserError(
        fmt::format("{}: external data in '{}', which is not inside the model's folder; "
                    "put the file beside the model and name it by a relative path",
                    where, location));
  if (!std::filesystem::is_regular_file(file, error))
    throw UserError(fmt::format("{}: external data file '{}' is not there", where, file.string()));
  return file;
}

ExternalRange external_range(const pb::TensorProto& proto, std::int64_t bytes, const std::filesystem::path& folder,
                             const std::string& where) {
  std::string location;
  ExternalRange range;
  std::int64_t length = -1;
  for (const auto& entry : proto.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") range.offset = parse_count(entry.value(), "offset", where);
    if (entry.key() == "length") length = parse_count(entry.value(), "length", where);
  }
  range.file = external_file(location, folder, where);
  std::error_code error;
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(range.file, error));
  if (error) throw SystemError(fmt::format("{}: {}: {}", where, range.file.string(), error.message()));
  if (length >= 0 && length != bytes)
    throw UserError(fmt::format("{}: external data of {} bytes, but its shape and type need {}", where, length, bytes));
  if (range.offset > size || bytes > size - range.offset)
    throw UserError(
        fmt::format("{}: needs {} bytes at {} of '{}', which has {}: the file is cut short or not the "
                    "model's own",
                    where, bytes, range.offset, range.file.string(), size));
  range.length = bytes;
  return range;
}

/// How many elements the typed field that ONNX prescribes for this type holds.
std::int64_t typed_count(const pb::TensorProto& p, DType type) {
  switch (type) {
    case DType::f32: return p.float_data_size();
    case DType::f64: return p.double_data_size();
    case DType::i64: return p.int64_data_size();
    case DType::u64:
    case DType::u32: return p.uint64_data_size();
    default: return p.int32_data_size();
  }
}

void copy_typed(const pb::TensorProto& p, Tensor& t) {
  visit_dtype(t.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto to = t.mutable_values<T>();
    const auto count = static_cast<int>(t.elements());
    for (int i = 0; i < count; ++i) {
      T& element = to[static_cast<std::size_t>(i)];
      if constexpr (std::is_same_v<T, float>)
        element = p.float_data(i);
      else if constexpr (std::is_same_v<T, double>)
        element = p.double_data(i);
      else if constexpr (std::is_same_v<T, std::int64_t>)
        element = p.int64_data(i);
      else if constexpr (std::is_same_v<T, std::uint64_t> || std::is_same_v<T, std::uint32_t>)
        element = static_cast<T>(p.uint64_data(i));
      else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
        element.bits = static_cast<std::uint16_t>(p.int32_data(i));
      else if constexpr (std::is_same_v<T, bool>)
        element = p.int32_data(i) != 0;
      else
        element = static_cast<T>(p.int32_data(i));
    }
  });
}

/// A bool that is neither 0 nor 1 would be undefined behaviour wherever it is read.
void normalize_bools(Tensor& t) {
  if (t.dtype() != DType::boolean) return;
  std::byte* bytes = t.mutable_data();
  for (std::size_t i = 0; i < t.bytes(); ++i) bytes[i] = bytes[i] == std::byte{0} ? std::byte{0} : std::byte{1};
}

}  // namespace

std::string onnx_type_name(std::int32_t data_type) {
  static constexpr const char* kNames[] = {
      "UNDEFINED", "FLOAT",      "UINT8",      "INT8",         "UINT16",         "INT16",      "INT32",
      "INT64",     "STRING",     "BOOL",       "FLOAT16",      "DOUBLE",         "UINT32",     "UINT64",
      "COMPLEX64", "COMPLEX128", "BFLOAT16",   "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ",
      "UINT4",     "INT4",       "FLOAT4E2M1", "FLOAT8E8M0",   "UINT2",          "INT2"};
  if (data_type >= 0 && data_type < static_cast<std::int32_t>(std::size(kNames))) return kNames[data_type];
  return "type " + std::to_string(data_type);
}

DType dtype_of_onnx(std::int32_t data_type, const std::string& where) {
  for (const TypePair& pair : kTypes)
    if (pair.onnx == data_type) return pair.ours;
  throw UserError(
      fmt::format("{}: element type {} is not one that Weft computes with (floats of 16 to 64 bits, "
                  "integers of 8 to 64 bits, bool); convert it before export",
                  where, onnx_type_name(data_type)));
}

std::int32_t onnx_of_dtype(DType type) {
  for (const TypePair& pair : kTypes)
    if (pair.ours == type) return pair.onnx;
  throw InternalError("a dtype without an ONNX name");
}

std::pair<DType, Shape> tensor_header(const pb::TensorProto& proto, const DataPlaces& places,
                                      const std::string& where) {
  const NarrowType* narrow = narrow_type(proto.data_type());
  const DType type = carrier_of(proto.data_type(), where);
  if (proto.has_segment()) throw UserError(where + ": segmented tensors are not supported; store it whole");
  Dims extents(proto.dims().begin(), proto.dims().end());
  if (extents.size() > 64) throw UserError(where + ": more than 64 dimensions");
  Shape shape;
  try {
    shape = Shape(std::move(extents));
  } catch (Error& e) {
    e.add_context(where);
    throw;
  }
  const std::int64_t elements = shape.elements();
  const auto size = static_cast<std::int64_t>(size_of(type));
  if (elements > std::numeric_limits<std::int64_t>::max() / 16) throw UserError(where + ": too many elements");
  const std::int64_t needed = narrow != nullptr ? narrow->stored_bytes(elements) : elements * size;
  const std::int64_t entries = narrow != nullptr ? needed : elements;
  const std::int64_t typed = narrow != nullptr ? proto.int32_data_size() : typed_count(proto, type);
  const std::string name = onnx_type_name(proto.data_type());
  if (proto.data_location() == pb::TensorProto::EXTERNAL) {
    external_range(proto, needed, places.folder, where);
  } else if (const FileRange* left_out = places.find(proto); left_out != nullptr || proto.has_raw_data()) {
    const auto bytes = left_out != nullptr ? left_out->length : static_cast<std::int64_t>(proto.raw_data().size());
    if (bytes != needed)
      throw UserError(fmt::format("{}: {}{} needs {} bytes, {} are there: the file is damaged", where, name,
                                  shape.str(), needed, bytes));
  } else if (typed != entries) {
    throw UserError(fmt::format("{}: {}{} needs {} elements, {} are there: the file is damaged", where, name,
                                shape.str(), entries, typed));
  }
  return {type, shape};
}

namespace {

/// Reads a tensor's bytes from the file that they are in; empty where they are in the message.
InitialValue::Reader file_reader(const pb::TensorProto& proto, std::int64_t bytes, const DataPlaces& places,
                                 const std::string& where) {
  const auto text = [](std::span<std::byte> to) { return reinterpret_cast<char*>(to.data()); };
  if (proto.data_location() == pb::TensorProto::EXTERNAL)
    return
        [range = external_range(proto, bytes, places.folder, where), text](std::int64_t at, std::span<std::byte> to) {
          read_range(range.file, range.offset + at, std::ssize(to), text(to));
        };
  if (const FileRange* range = places.find(proto))
    return [file = places.file, range = *range, text](std::int64_t at, std::span<std::byte> to) {
      file->read(range.offset + at, std::ssize(to), text(to));
    };
  return {};
}

/// The codes of a narrow type, wherever they are stored.
std::vector<std::byte> packed_codes(const pb::TensorProto& proto, std::int64_t bytes, const DataPlaces& places,
                                    const std::string& where) {
  std::vector<std::byte> codes(static_cast<std::size_t>(bytes));
  if (const InitialValue::Reader reader = file_reader(proto, bytes, places, where)) {
    reader(0, codes);
  } else if (proto.has_raw_data()) {
    if (bytes > 0) std::memcpy(codes.data(), proto.raw_data().data(), codes.size());
  } else {
    for (std::size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<std::byte>(proto.int32_data(static_cast<int>(i)) & 255);
  }
  return codes;
}

}  // namespace

Tensor tensor_of(const pb::TensorProto& proto, const DataPlaces& places, const std::string& where) {
  auto [type, shape] = tensor_header(proto, places, where);
  if (const NarrowType* narrow = narrow_type(proto.data_type()))
    return decoded(*narrow, shape, packed_codes(proto, narrow->stored_bytes(shape.elements()), places, where));
  Tensor tensor(type, std::move(shape));
  if (const auto reader = file_reader(proto, static_cast<std::int64_t>(tensor.bytes()), places, where)) {
    if (tensor.bytes() > 0) reader(0, {tensor.mutable_data(), tensor.bytes()});
  } else if (proto.has_raw_data()) {
    if (tensor.bytes() > 0) std::memcpy(tensor.mutable_data(), proto.raw_data().data(), tensor.bytes());
  } else {
    copy_typed(proto, tensor);
  }
  normalize_bools(tensor);
  return tensor;
}

InitialValue value_of(const pb::TensorProto& proto, const DataPlaces& places, const std::string& where) {
  auto [type, shape] = tensor_header(proto, places, where);
  const std::int64_t bytes = shape.elements() * static_cast<std::int64_t>(size_of(type));
  // What is decoded or put right on the way is, like what the message holds, at hand.
  const bool as_stored = narrow_type(proto.data_type()) == nullptr && type != DType::boolean && bytes > 0;
  if (as_stored)
    if (InitialValue::Reader reader = file_reader(proto, bytes, places, where))
      return {type, std::move(shape), std::move(reader)};
  return tensor_of(proto, places, where);
}

pb::TensorProto proto_of(const Tensor& tensor, const std::string& name) {
  pb::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(onnx_of_dtype(tensor.dtype()));
  for (const std::int64_t extent : tensor.shape()) proto.add_dims(extent);
  proto.set_raw_data(tensor.data(), tensor.bytes());
  return proto;
}

}  // namespace weft::onnx
