// The zip format as far as stored members need it: local headers, directory, end records (PKWARE's APPNOTE 6.3).
#include "src/data/npz_writer.hpp"

#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <set>

#include "src/data/npy_array.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::int64_t kFull32 = 0xFFFFFFFF;
constexpr std::int64_t kFull16 = 0xFFFF;
constexpr int kVersion = 45;              // zip64
constexpr int kUtf8Names = 1 << 11;       // a flag of each member
constexpr int kDate = (1 << 5) | 1;       // 1 January 1980: no time is recorded
constexpr std::int64_t kLocalBytes = 50;  // a local header with its zip64 field, without the name

std::string little(std::int64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xFF);
  return out;
}

std::string capped(std::int64_t value) { return little(std::min(value, kFull32), 4); }

/// What local header and directory have in common, from the version to the checksum.
std::string common_fields(std::uint32_t crc) {
  return little(kVersion, 2) + little(kUtf8Names, 2) + little(0, 2) + little(0, 2) + little(kDate, 2) + little(crc, 4);
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

NpzWriter::NpzWriter(FileSystem& files, const std::filesystem::path& path, const std::vector<NpzArray>& arrays)
    : files_(files), path_(path) {
  std::set<std::string> names;
  for (const NpzArray& array : arrays) {
    Entry e;
    e.name = array.name + ".npy";
    if (!names.insert(array.name).second)
      throw UserError(fmt::format("{}: two arrays would be named '{}'", path.string(), array.name));
    if (static_cast<std::int64_t>(e.name.size()) > kFull16)
      throw UserError(fmt::format("{}: the name of an array is longer than {} bytes", path.string(), kFull16));
    e.header = npy_header(array.dtype, array.shape);
    e.start = directory_;
    e.next = e.start + kLocalBytes + static_cast<std::int64_t>(e.name.size() + e.header.size());
    e.end = e.next + array.shape.elements() * static_cast<std::int64_t>(size_of(array.dtype));
    e.size = e.end - e.next + static_cast<std::int64_t>(e.header.size());
    e.crc = static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(e.header.data()), e.header.size()));
    directory_ = e.end;
    entries_.push_back(std::move(e));
  }
  if (path_.filename().empty() || std::filesystem::is_directory(path_))
    throw UserError(fmt::format("'{}' is a folder; give the name of the file to write", path_.string()));
  const auto aside = path_.parent_path() / fmt::format(".{}.partial-{}", path_.filename().string(), ::getpid());
  file_ = files_.open(aside, OpenMode::create);
  aside_ = aside;
  try {
    file_->reserve(directory_);
  } catch (const Error&) {
    file_.reset();
    files_.remove(aside_);  // the destructor does not run
    throw;
  }
}

NpzWriter::~NpzWriter() {
  if (aside_.empty()) return;
  try {
    file_.reset();
    files_.remove(aside_);
  } catch (const std::exception&) {
    // A leftover file; the error that came first is on its way.
  }
}

void NpzWriter::append(std::size_t array, std::span<const std::byte> elements) {
  Entry& e = entries_.at(array);
  const auto size = static_cast<std::int64_t>(elements.size());
  check_internal(size <= e.end - e.next, "more elements than declared are written to an array");
  file_->write_at(elements, e.next);
  e.crc = static_cast<std::uint32_t>(crc32_z(e.crc, reinterpret_cast<const Bytef*>(elements.data()), elements.size()));
  e.next += size;
}

void NpzWriter::finish() {
  std::string directory;
  for (const Entry& e : entries_) {
    check_internal(e.next == e.end, "an array is not complete");
    const std::string local = "PK\x03\x04" + common_fields(e.crc) + little(kFull32, 4) + little(kFull32, 4) +
                              little(static_cast<std::int64_t>(e.name.size()), 2) + little(20, 2) + e.name +
                              little(1, 2) + little(16, 2) + little(e.size, 8) + little(e.size, 8);
    file_->write_at(bytes_of(local + e.header), e.start);
    std::string wide;  // the values that do not fit, in this order
    for (const std::int64_t value : {e.size, e.size, e.start})
      if (value >= kFull32) wide += little(value, 8);
    if (!wide.empty()) wide = little(1, 2) + little(static_cast<std::int64_t>(wide.size()), 2) + wide;
    directory += "PK\x01\x02" + little(kVersion, 2) + common_fields(e.crc) + capped(e.size) + capped(e.size) +
                 little(static_cast<std::int64_t>(e.name.size()), 2) +
                 little(static_cast<std::int64_t>(wide.size()), 2) + little(0, 2) + little(0, 2) + little(0, 2) +
                 little(0, 4) + capped(e.start) + e.name + wide;
  }
  const auto count = static_cast<std::int64_t>(entries_.size());
  const auto size = static_cast<std::int64_t>(directory.size());
  if (count >= kFull16 || directory_ >= kFull32 || size >= kFull32)
    directory += "PK\x06\x06" + little(44, 8) + little(kVersion, 2) + little(kVersion, 2) + little(0, 8) +
                 little(count, 8) + little(count, 8) + little(size, 8) + little(directory_, 8) + "PK\x06\x07" +
                 little(0, 4) + little(directory_ + size, 8) + little(1, 4);
  const std::string counted = little(std::min(count, kFull16), 2);
  directory += "PK\x05\x06" + little(0, 4) + counted + counted + capped(size) + capped(directory_) + little(0, 2);
  file_->write_at(bytes_of(directory), directory_);
  file_->sync();
  file_.reset();
  files_.rename(aside_, path_);
  aside_.clear();
  files_.sync_folder(path_.parent_path().empty() ? "." : path_.parent_path());
}

}  // namespace weft
