// Reading and writing the header of .npy, and elements in any order and byte order.
#include "src/data/npy_array.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <vector>

#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::size_t kMaxHeader = std::size_t{1} << 20;
constexpr std::size_t kMaxNpyRank = 32;

struct KnownType {
  const char* code;
  DType type;
};
constexpr std::array kKnownTypes = {
    KnownType{"f8", DType::f64}, KnownType{"f4", DType::f32}, KnownType{"f2", DType::f16},
    KnownType{"i8", DType::i64}, KnownType{"i4", DType::i32}, KnownType{"i2", DType::i16},
    KnownType{"i1", DType::i8},  KnownType{"u8", DType::u64}, KnownType{"u4", DType::u32},
    KnownType{"u2", DType::u16}, KnownType{"u1", DType::u8},  KnownType{"b1", DType::boolean}};

DType npy_type(const std::string& descr) {
  for (const KnownType& k : kKnownTypes)
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
    if (error != std::errc{} || extents.size() >= kMaxNpyRank) throw UserError("its shape is no tuple of integers");
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

}  // namespace

NpyHeader read_npy_header(ZipArchive::Stream& stream) {
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
  return h;
}

namespace {

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

}  // namespace

void read_npy_elements(ZipArchive::Stream& stream, const NpyHeader& h,
                       const std::function<void(std::span<const std::byte>)>& take) {
  const std::int64_t at_once = h.fortran ? stream.left() : static_cast<std::int64_t>(kReadBlockBytes);
  std::vector<std::byte> block(static_cast<std::size_t>(std::min(stream.left(), at_once)));
  while (stream.left() > 0) {
    block.resize(
        static_cast<std::size_t>(std::min<std::int64_t>(stream.left(), static_cast<std::int64_t>(block.size()))));
    stream.read(block);
    to_native(block, h);
    if (h.fortran)
      take(to_row_major(block, h));
    else
      take(block);
  }
}

Tensor read_npy(ZipArchive& archive, const ZipMember& member) {
  try {
    ZipArchive::Stream stream(archive, member);
    const NpyHeader header = read_npy_header(stream);
    Tensor array(header.dtype, Shape(header.extents));
    std::byte* to = array.mutable_data();
    read_npy_elements(stream, header,
                      [&](std::span<const std::byte> part) { to = std::copy(part.begin(), part.end(), to); });
    return array;
  } catch (UserError& e) {
    e.add_context(fmt::format("{}: array '{}'", archive.path(), member.name));
    throw;
  }
}

std::string npy_header(DType dtype, const Shape& shape) {
  const auto known =
      std::find_if(kKnownTypes.begin(), kKnownTypes.end(), [&](const KnownType& k) { return k.type == dtype; });
  if (known == kKnownTypes.end())
    throw UserError(fmt::format("NumPy has no type for {}; write .h5 or .pb instead", name_of(dtype)));
  const std::string extents =
      fmt::format("{}{}", fmt::join(shape.begin(), shape.end(), ", "), shape.rank() == 1 ? "," : "");
  std::string text = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                 size_of(dtype) == 1 ? '|' : '<', known->code, extents);
  constexpr std::size_t kBefore = 10, kAlignment = 64;  // magic, version and length come before the text
  text.append((kAlignment - (kBefore + text.size() + 1) % kAlignment) % kAlignment, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xFF);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

std::string npy_name(const ZipMember& member) {
  return member.name.ends_with(".npy") ? member.name.substr(0, member.name.size() - 4) : member.name;
}

}  // namespace weft
