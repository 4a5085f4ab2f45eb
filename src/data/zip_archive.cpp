// Zip files: the directory at the end, and members through zlib's inflate.
#include "src/data/zip_archive.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::int64_t kMaxDirectory = std::int64_t{256} << 20;
constexpr std::int64_t kMaxRatio = 1032;         // what deflate can do at most
constexpr std::uint32_t kIn64Bits = 0xFFFFFFFF;  // the value is in the zip64 record

std::uint64_t little(std::span<const std::byte> bytes, std::size_t at, std::size_t width) {
  if (at > bytes.size() || width > bytes.size() - at) throw UserError("it ends inside a record; it is truncated");
  std::uint64_t value = 0;
  for (std::size_t i = width; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
  return value;
}

std::int64_t as_offset(std::uint64_t value, std::int64_t limit) {
  if (value > static_cast<std::uint64_t>(limit))
    throw UserError(fmt::format("it points to byte {} and has {}; it is truncated", value, limit));
  return static_cast<std::int64_t>(value);
}

}  // namespace

struct ZipArchive::Stream::Inflate {
  z_stream stream{};
  std::vector<std::byte> input = std::vector<std::byte>(std::size_t{1} << 18);

  Inflate() {
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw SystemError("zlib cannot start: out of memory");
  }
  Inflate(const Inflate&) = delete;
  Inflate& operator=(const Inflate&) = delete;
  ~Inflate() { inflateEnd(&stream); }
};

ZipArchive::ZipArchive(const std::string& path)
    : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw SystemError::from_errno(fmt::format("{}: cannot open", path), errno);
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) throw UserError("it is not a regular file");
    file_size_ = status.st_size;
    read_directory();
  } catch (UserError& e) {
    ::close(descriptor_);
    throw UserError(fmt::format("{}: is no sound .npz (zip) file: {}", path, e.what()));
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

ZipArchive::~ZipArchive() { ::close(descriptor_); }

void ZipArchive::read_at(std::int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(descriptor_, out.data(), out.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw SystemError::from_errno(fmt::format("{}: cannot read", path_), errno);
    if (n == 0) throw UserError("it ends early; it is truncated");
    out = out.subspan(static_cast<std::size_t>(n));
    offset += n;
  }
}

// The end record is the last one, followed only by a comment of up to 64 kB.
void ZipArchive::read_directory() {
  constexpr std::int64_t kEndRecord = 22;
  std::vector<std::byte> tail(static_cast<std::size_t>(std::min<std::int64_t>(file_size_, kEndRecord + 65535)));
  const std::int64_t tail_start = file_size_ - static_cast<std::int64_t>(tail.size());
  read_at(tail_start, tail);
  std::size_t end = tail.size() < kEndRecord ? 0 : tail.size() - kEndRecord + 1;
  while (end > 0 && little(tail, end - 1, 4) != 0x06054b50) --end;
  if (end == 0) throw UserError("it has no directory at its end; it is truncated or of another kind");
  --end;
  std::uint64_t count = little(tail, end + 10, 2);
  std::uint64_t size = little(tail, end + 12, 4);
  std::uint64_t start = little(tail, end + 16, 4);
  if ((count == 0xFFFF || size == kIn64Bits || start == kIn64Bits) && end >= 20 &&
      little(tail, end - 20, 4) == 0x07064b50) {
    std::array<std::byte, 56> record{};
    read_at(as_offset(little(tail, end - 12, 8), file_size_), record);
    if (little(record, 0, 4) != 0x06064b50) throw UserError("its zip64 record is damaged");
    count = little(record, 32, 8);
    size = little(record, 40, 8);
    start = little(record, 48, 8);
  }
  std::vector<std::byte> directory(static_cast<std::size_t>(as_offset(size, std::min(file_size_, kMaxDirectory))));
  read_at(as_offset(start, file_size_), directory);
  if (count > directory.size() / 46) throw UserError("its directory is too small for its members");
  for (std::size_t at = 0; count-- > 0;) read_entry(directory, at);
}

void ZipArchive::read_entry(const std::vector<std::byte>& directory, std::size_t& at) {
  if (little(directory, at, 4) != 0x02014b50) throw UserError("its directory is damaged");
  ZipMember m;
  if ((little(directory, at + 8, 2) & 1) != 0) throw UserError("it is encrypted");
  m.method = static_cast<int>(little(directory, at + 10, 2));
  m.crc = static_cast<std::uint32_t>(little(directory, at + 16, 4));
  std::uint64_t compressed = little(directory, at + 20, 4);
  std::uint64_t size = little(directory, at + 24, 4);
  const std::size_t name = little(directory, at + 28, 2);
  const std::size_t extra = little(directory, at + 30, 2);
  const std::size_t comment = little(directory, at + 32, 2);
  std::uint64_t header = little(directory, at + 42, 4);
  if (at + 46 + name + extra + comment > directory.size()) throw UserError("its directory is damaged");
  m.name.assign(reinterpret_cast<const char*>(directory.data()) + at + 46, name);
  for (std::size_t e = at + 46 + name; e + 4 <= at + 46 + name + extra;) {
    const std::uint64_t id = little(directory, e, 2);
    const std::size_t length = little(directory, e + 2, 2);
    std::size_t field = e + 4;
    if (id == 1)  // zip64: the values that did not fit, in this order
      for (std::uint64_t* value : {&size, &compressed, &header})
        if (*value == kIn64Bits) {
          *value = little(directory, field, 8);
          field += 8;
        }
    e += 4 + length;
  }
  m.compressed = as_offset(compressed, file_size_);
  m.header = as_offset(header, file_size_);
  m.size = as_offset(size, m.method == 0 ? m.compressed : m.compressed * kMaxRatio);
  if (m.method != 0 && m.method != 8)
    throw UserError(
        fmt::format("member '{}' is compressed by method {}; stored and deflated ones are read", m.name, m.method));
  members_.push_back(std::move(m));
  at += 46 + name + extra + comment;
}

ZipArchive::Stream::Stream(ZipArchive& archive, const ZipMember& member)
    : archive_(archive), member_(member), compressed_left_(member.compressed), left_(member.size) {
  std::array<std::byte, 30> header{};
  archive_.read_at(member.header, header);
  if (little(header, 0, 4) != 0x04034b50)
    throw UserError(fmt::format("{}: member '{}' is not where the directory says", archive.path_, member.name));
  offset_ = member.header + 30 + static_cast<std::int64_t>(little(header, 26, 2) + little(header, 28, 2));
  if (member.method == 8) inflate_ = std::make_unique<Inflate>();
}

ZipArchive::Stream::~Stream() = default;

void ZipArchive::Stream::read(std::span<std::byte> out) {
  try {
    if (static_cast<std::int64_t>(out.size()) > left_) throw UserError("it is shorter than its header says");
    if (inflate_)
      read_deflated(out);
    else
      read_stored(out);
    crc_ = static_cast<std::uint32_t>(crc32_z(crc_, reinterpret_cast<const Bytef*>(out.data()), out.size()));
    left_ -= static_cast<std::int64_t>(out.size());
    if (left_ == 0 && crc_ != member_.crc) throw UserError("its CRC does not hold: it is damaged");
  } catch (UserError& e) {
    e.add_context(fmt::format("{}: member '{}'", archive_.path_, member_.name));
    throw;
  }
}

void ZipArchive::Stream::read_stored(std::span<std::byte> out) {
  archive_.read_at(offset_, out);
  offset_ += static_cast<std::int64_t>(out.size());
}

void ZipArchive::Stream::read_deflated(std::span<std::byte> out) {
  z_stream& z = inflate_->stream;
  while (!out.empty()) {
    if (z.avail_in == 0 && compressed_left_ > 0) {
      const auto size = static_cast<std::size_t>(
          std::min<std::int64_t>(compressed_left_, static_cast<std::int64_t>(inflate_->input.size())));
      archive_.read_at(offset_, {inflate_->input.data(), size});
      offset_ += static_cast<std::int64_t>(size);
      compressed_left_ -= static_cast<std::int64_t>(size);
      z.next_in = reinterpret_cast<Bytef*>(inflate_->input.data());
      z.avail_in = static_cast<uInt>(size);
    }
    const auto room = static_cast<uInt>(std::min<std::size_t>(out.size(), 1U << 30));
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = room;
    const int status = inflate(&z, Z_NO_FLUSH);
    const std::size_t made = room - z.avail_out;
    if ((status != Z_OK && status != Z_STREAM_END) || (made == 0 && (z.avail_in == 0 || status == Z_STREAM_END)))
      throw UserError("its compressed data is damaged");
    out = out.subspan(made);
  }
}

}  // namespace weft
