// NumPy archives: a zip file of .npy arrays, versions 1 to 3, in C or Fortran order.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstring>

#include "src/data/data_writer.hpp"
#include "src/data/import.hpp"
#include "src/data/zip_archive.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxHeader = std::size_t{1} << 20;
constexpr std::size_t kMaxRank = 32;
constexpr std::size_t kMaxArrays = 10'000;

struct NpyHeader {
  DType dtype = DType::f32;
  bool big_endian = false;
  bool fortran = false;
  Dims extents;
};

DType npy_type(const std::string& descr) {
  struct Known {
    const char* code;
    DType type;
  };
  constexpr std::array kKnown = {Known{"f8", DType::f64}, Known{"f4", DType::f32}, Known{"f2", DType::f16},
                                 Known{"i8", DType::i64}, Known{"i4", DType::i32}, Known{"i2", DType::i16},
                                 Known{"i1", DType::i8},  Known{"u8", DType::u64}, Known{"u4", DType::u32},
                                 Known{"u2", DType::u16}, Known{"u1", DType::u8},  Known{"b1", DType::boolean}};
  for (const Known& k : kKnown)
    if (descr.size() == 3 && std::strchr("<>|=", descr[0]) != nullptr && descr.substr(1) == k.code) return k.type;
  throw UserError(fmt::format("its elements are '{}'; Weft reads numbers and bool", descr));
}

// What follows `key` in the header's Python dictionary.
std::string value_after(const std::string& header, const std::string& key) {
  const auto at = header.find("'" + key + "'");
  const auto colon = at == std::string::npos ? at : header.find(':', at);
  const auto start = colon == std::string::npos ? colon : header.find_first_not_of(' ', colon + 1);
  if (start == std::string::npos) throw UserError(fmt::format("its header lacks '{}'", key));
  return header.substr(start);
}

Dims parse_shape(const std::string& text) {
  Dims extents;
  if (text.empty() || text[0] != '(') throw UserError("its shape is no tuple");
  for (std::size_t i = 1; i < text.size() && text[i] != ')';) {
    if (text[i] == ' ' || text[i] == ',') {
      ++i;
      continue;
    }
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + i, text.data() + text.size(), value);
    if (error != std::errc{} || extents.size() >= kMaxRank) throw UserError("its shape is no tuple of integers");
    extents.push_back(value);
    i = static_cast<std::size_t>(end - text.data());
  }
  return extents;
}

NpyHeader parse_header(const std::string& text) {
  NpyHeader h;
  const std::string descr = value_after(text, "descr");
  const auto quote = descr.find('\'', 1);
  if (descr[0] != '\'' || quote == std::string::npos)
    throw UserError("its elements are records; Weft reads numbers and bool");
  h.dtype = npy_type(descr.substr(1, quote - 1));
  h.big_endian = descr[1] == '>' && size_of(h.dtype) > 1;
  h.fortran = value_after(text, "fortran_order").starts_with("True");
  h.extents = parse_shape(value_after(text, "shape"));
  return h;
}

NpyHeader read_header(ZipArchive::Stream& stream) {
  std::array<std::byte, 8> magic{};
  stream.read(magic);
  if (std::memcmp(magic.data(), "\x93NUMPY", 6) != 0) throw UserError("it is no .npy array");
  const int version = std::to_integer<int>(magic[6]);
  if (version < 1 || version > 3) throw UserError(fmt::format("it is .npy version {}; 1 to 3 are read", version));
  std::array<std::byte, 4> length{};
  stream.read(std::span(length).first(version == 1 ? 2 : 4));
  std::size_t size = 0;
  for (std::size_t i = 4; i-- > 0;) size = size << 8 | std::to_integer<std::size_t>(length[i]);
  if (size > kMaxHeader) throw UserError(fmt::format("its header claims {} bytes", size));
  std::string text(size, '\0');
  stream.read(std::as_writable_bytes(std::span(text)));
  NpyHeader h = parse_header(text);
  const Shape shape(h.extents);
  const auto bytes = static_cast<unsigned __int128>(shape.elements()) * size_of(h.dtype);
  if (bytes != static_cast<unsigned __int128>(stream.left()))
    throw UserError(
        fmt::format("its shape {} of {} does not fit its {} bytes", shape.str(), name_of(h.dtype), stream.left()));
  if (h.extents.empty() || shape.elements() == 0)
    throw UserError(fmt::format("its shape {} has no samples", shape.str()));
  return h;
}

void to_native(std::span<std::byte> block, const NpyHeader& h) {
  const std::size_t width = size_of(h.dtype);
  if (h.big_endian)
    for (auto at = block.begin(); at != block.end(); at += static_cast<std::ptrdiff_t>(width))
      std::reverse(at, at + static_cast<std::ptrdiff_t>(width));
  if (h.dtype == DType::boolean)
    for (std::byte& b : block) b = b != std::byte{0} ? std::byte{1} : std::byte{0};
}

// Fortran order: the first dimension is the fastest in the source and must become the slowest.
std::vector<std::byte> to_row_major(const std::vector<std::byte>& in, const NpyHeader& h) {
  const std::size_t width = size_of(h.dtype);
  std::vector<std::byte> out(in.size());
  const auto rank = h.extents.size();
  Dims index(rank, 0);
  Dims strides(rank, 1);
  for (std::size_t d = 1; d < rank; ++d) strides[d] = strides[d - 1] * h.extents[d - 1];
  for (std::size_t to = 0; to < out.size(); to += width) {
    std::int64_t from = 0;
    for (std::size_t d = 0; d < rank; ++d) from += index[d] * strides[d];
    std::memcpy(out.data() + to, in.data() + static_cast<std::size_t>(from) * width, width);
    for (std::size_t d = rank; d-- > 0;) {
      if (++index[d] < h.extents[d]) break;
      index[d] = 0;
    }
  }
  return out;
}

void copy_array(ZipArchive::Stream& stream, const NpyHeader& h, DataWriter& writer, std::size_t dataset) {
  const std::int64_t at_once = h.fortran ? stream.left() : static_cast<std::int64_t>(kBlockBytes);
  std::vector<std::byte> block(static_cast<std::size_t>(std::min(stream.left(), at_once)));
  while (stream.left() > 0) {
    block.resize(
        static_cast<std::size_t>(std::min<std::int64_t>(stream.left(), static_cast<std::int64_t>(block.size()))));
    stream.read(block);
    to_native(block, h);
    writer.append(dataset, h.fortran ? to_row_major(block, h) : block);
  }
}

std::string array_name(const ZipMember& member, const std::string& path) {
  std::string name = member.name;
  if (name.ends_with(".npy")) name.resize(name.size() - 4);
  const bool plain = !name.empty() && name.front() != '.' && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
  if (!plain)
    throw UserError(
        fmt::format("{}: array '{}' cannot name a dataset: use letters, digits, '_', '-' and '.'", path, name));
  return name;
}

}  // namespace

void import_npz(const ImportRequest& request) {
  ZipArchive archive(request.source);
  std::vector<DatasetPlan> plans;
  if (archive.members().empty() || archive.members().size() > kMaxArrays)
    throw UserError(
        fmt::format("{}: has {} arrays; 1 to {} are imported", request.source, archive.members().size(), kMaxArrays));
  for (const ZipMember& member : archive.members()) {
    try {
      ZipArchive::Stream stream(archive, member);
      const NpyHeader h = read_header(stream);
      const std::string name = array_name(member, request.source);
      plans.push_back(
          {name, h.dtype, Shape(h.extents), name == "labels" ? request.class_names : std::vector<std::string>{}});
    } catch (UserError& e) {
      e.add_context(fmt::format("{}: array '{}'", request.source, member.name));
      throw;
    }
    for (std::size_t i = 0; i + 1 < plans.size(); ++i)
      if (plans[i].name == plans.back().name)
        throw UserError(fmt::format("{}: holds array '{}' twice", request.source, plans[i].name));
    if (plans.back().shape[0] != plans.front().shape[0])
      throw UserError(fmt::format(
          "{}: array '{}' has shape {} and '{}' {}: the first dimension is the samples and must "
          "be the same. Save training and test data as two files.",
          request.source, plans.front().name, plans.front().shape.str(), plans.back().name, plans.back().shape.str()));
  }
  const std::int64_t samples = plans.front().shape[0];
  DataWriter writer(request.output, source_name(request, "NumPy"), plans);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    ZipArchive::Stream stream(archive, archive.members()[i]);
    const NpyHeader h = read_header(stream);
    if (h.dtype != plans[i].dtype || Shape(h.extents) != plans[i].shape)
      throw UserError(fmt::format("{}: it changed while it was imported", request.source));
    copy_array(stream, h, writer, i);
    if (request.progress)
      request.progress(samples * static_cast<std::int64_t>(i + 1) / static_cast<std::int64_t>(plans.size()), samples);
  }
  writer.finish();
}

}  // namespace weft
