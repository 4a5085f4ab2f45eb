// ZipArchive: the members of a zip file, stored or deflated, zip64 included. Sizes are checked against the file
// before they are used, and contents against their CRC-32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace weft {

struct ZipMember {
  std::string name;
  int method = 0;  ///< 0 stored, 8 deflated
  std::uint32_t crc = 0;
  std::int64_t compressed = 0, size = 0;  ///< bytes
  std::int64_t header = 0;                ///< offset of the local header
};

class ZipArchive {
 public:
  /// SystemError where the file cannot be read, UserError where it is no sound zip file.
  explicit ZipArchive(const std::string& path);
  ~ZipArchive();
  ZipArchive(const ZipArchive&) = delete;
  ZipArchive& operator=(const ZipArchive&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<ZipMember>& members() const { return members_; }

  /// A member's bytes from front to back.
  class Stream {
   public:
    Stream(ZipArchive& archive, const ZipMember& member);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;
    /// Exactly out.size() bytes; UserError where the member ends before, is damaged, or fails its CRC at its end.
    void read(std::span<std::byte> out);
    std::int64_t left() const { return left_; }

   private:
    struct Inflate;
    void read_stored(std::span<std::byte> out);
    void read_deflated(std::span<std::byte> out);

    ZipArchive& archive_;
    const ZipMember& member_;
    std::int64_t offset_ = 0, compressed_left_ = 0, left_ = 0;
    std::uint32_t crc_ = 0;
    std::unique_ptr<Inflate> inflate_;
  };

 private:
  void read_at(std::int64_t offset, std::span<std::byte> out) const;
  void read_directory();
  void read_entry(const std::vector<std::byte>& directory, std::size_t& at);

  std::string path_;
  int descriptor_ = -1;
  std::int64_t file_size_ = 0;
  std::vector<ZipMember> members_;
};

}  // namespace weft
