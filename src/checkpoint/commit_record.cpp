// Encoding and checking commit records. Input is hostile until its hash has been checked, and bounded after that.
#include "src/checkpoint/commit_record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "src/checkpoint/checkpoint.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {
namespace {

constexpr std::string_view kMagic("weft-checkpoint\0", 16);
constexpr std::string_view kHdf5Signature("\x89HDF\r\n\x1a\n", 8);
constexpr std::int64_t kPieceEntry = 32, kFooter = 4 * 8 + 16 + 8;
constexpr std::int64_t kLongestPiece = 16 * kPieceBytes;
constexpr std::int64_t kLargestRecord = std::int64_t{1} << 30;
// The root group's attributes are among the first bytes that HDF5 writes.
constexpr std::int64_t kFormatNameWithin = 64 << 10;

void put(std::vector<std::byte>& to, std::uint64_t word) {
  for (int i = 0; i < 8; ++i) to.push_back(static_cast<std::byte>(word >> (8 * i) & 0xff));
}

void put(std::vector<std::byte>& to, std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

std::uint64_t word_at(std::span<const std::byte> bytes, std::int64_t offset) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + offset, sizeof word);
  return word;
}

std::string_view text_at(std::span<const std::byte> bytes, std::int64_t offset, std::int64_t size) {
  return {reinterpret_cast<const char*>(bytes.data()) + offset, static_cast<std::size_t>(size)};
}

std::vector<std::byte> read(const File& file, std::int64_t offset, std::int64_t size) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  file.read_at(bytes, offset);
  return bytes;
}

/// What a file without a sound record is.
[[noreturn]] void refuse(const File& file, std::int64_t size) {
  if (size == 0) throw UserError("the file is empty");
  const auto head = read(file, 0, std::min(size, kFormatNameWithin));
  const std::string_view text = text_at(head, 0, static_cast<std::int64_t>(head.size()));
  const auto differs = [&](std::size_t i) { return i < text.size() && text[i] != kHdf5Signature[i]; };
  bool hdf5 = true;
  for (std::size_t i = 0; i < kHdf5Signature.size(); ++i) hdf5 = hdf5 && !differs(i);
  const bool ours = text.find(kFormatName) != std::string_view::npos;
  if (!hdf5) throw UserError("it is not an HDF5 file, so not a checkpoint");
  if (!ours && size > 512)
    throw UserError("it is an HDF5 file but not a checkpoint of Weft's (its commit record is missing)");
  throw UserError(
      fmt::format("it is truncated or was never finished: its {} bytes do not end in a sound commit record", size));
}

struct Footer {
  std::int64_t content = 0, pieces = 0, names = 0, format = 0;
  std::int64_t record_bytes() const { return pieces * kPieceEntry + names + kFooter; }
};

/// The footer, when its numbers fit the file.
std::optional<Footer> parse_footer(std::span<const std::byte> bytes, std::int64_t file_size) {
  if (text_at(bytes, 32, 16) != kMagic) return std::nullopt;
  const std::array<std::uint64_t, 4> words = {word_at(bytes, 0), word_at(bytes, 8), word_at(bytes, 16),
                                              word_at(bytes, 24)};
  const auto limit = static_cast<std::uint64_t>(file_size);
  if (words[0] > limit || words[1] > limit / kPieceEntry || words[2] > limit) return std::nullopt;
  const Footer footer{static_cast<std::int64_t>(words[0]), static_cast<std::int64_t>(words[1]),
                      static_cast<std::int64_t>(words[2]),
                      static_cast<std::int64_t>(std::min<std::uint64_t>(words[3], INT64_MAX))};
  if (footer.record_bytes() > kLargestRecord || footer.content + footer.record_bytes() != file_size)
    return std::nullopt;
  return footer;
}

std::vector<std::string> parse_names(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const std::size_t end = text.find('\0');
    if (end == std::string_view::npos) throw UserError("its commit record is malformed: a name without an end");
    names.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return names;
}

CommitRecord parse(std::span<const std::byte> bytes, const Footer& footer) {
  CommitRecord record;
  record.names = parse_names(text_at(bytes, footer.pieces * kPieceEntry, footer.names));
  std::int64_t end = 0;
  for (std::int64_t i = 0; i < footer.pieces; ++i) {
    const std::int64_t at = i * kPieceEntry;
    const std::uint64_t offset = word_at(bytes, at), length = word_at(bytes, at + 8), name = word_at(bytes, at + 24);
    if (offset != static_cast<std::uint64_t>(end) || length == 0 ||
        length > static_cast<std::uint64_t>(std::min(kLongestPiece, footer.content - end)) ||
        name >= record.names.size())
      throw UserError(fmt::format("its commit record is malformed at piece {}", i));
    end += static_cast<std::int64_t>(length);
    record.pieces.push_back({static_cast<std::int64_t>(offset), static_cast<std::int64_t>(length),
                             word_at(bytes, at + 16), static_cast<std::size_t>(name)});
  }
  if (end != footer.content) throw UserError("its commit record does not cover the file");
  return record;
}

}  // namespace

std::vector<std::byte> encode(const CommitRecord& record) {
  std::vector<std::byte> bytes;
  for (const Piece& piece : record.pieces) {
    put(bytes, static_cast<std::uint64_t>(piece.offset));
    put(bytes, static_cast<std::uint64_t>(piece.length));
    put(bytes, piece.hash);
    put(bytes, static_cast<std::uint64_t>(piece.name));
  }
  const std::size_t before_names = bytes.size();
  for (const std::string& name : record.names) put(bytes, std::string_view(name.c_str(), name.size() + 1));
  const std::size_t name_bytes = bytes.size() - before_names;
  put(bytes, static_cast<std::uint64_t>(record.content_bytes()));
  put(bytes, record.pieces.size());
  put(bytes, name_bytes);
  put(bytes, static_cast<std::uint64_t>(kCheckpointFormat));
  put(bytes, kMagic);
  put(bytes, hash64(bytes));
  return bytes;
}

CommitRecord read_commit_record(const File& file) {
  const std::int64_t size = file.size();
  if (size < kFooter) refuse(file, size);
  const auto footer = parse_footer(read(file, size - kFooter, kFooter), size);
  if (!footer) refuse(file, size);
  const auto bytes = read(file, footer->content, footer->record_bytes());
  const auto hashed = std::span(bytes).first(bytes.size() - 8);
  if (hash64(hashed) != word_at(bytes, static_cast<std::int64_t>(hashed.size())))
    throw UserError("its commit record is damaged (checksum)");
  if (footer->format != kCheckpointFormat)
    throw UserError(
        fmt::format("it has checkpoint format {}, and this version of Weft reads format {}: use a newer Weft",
                    footer->format, kCheckpointFormat));
  return parse(bytes, *footer);
}

}  // namespace weft
