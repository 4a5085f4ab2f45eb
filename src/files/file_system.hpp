// FileSystem: the few file operations that must survive faults, behind an interface so that tests can inject them.
//
// Every failure is a SystemError that names the operation, the file and the cause. Paths are used as they are given.
// What this guarantees on POSIX: bytes are durable once sync() returned, names once sync_folder() did.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weft {

/// An open file; closed on destruction.
class File {
 public:
  virtual ~File() = default;
  /// All of `bytes`, or throws.
  virtual void write_at(std::span<const std::byte> bytes, std::int64_t offset) = 0;
  /// Fills `to`, or throws ("is shorter than expected").
  virtual void read_at(std::span<std::byte> to, std::int64_t offset) const = 0;
  virtual std::int64_t size() const = 0;
  /// Reserves room for `bytes`, so that a full disk shows now. Does nothing where the file system cannot.
  virtual void reserve(std::int64_t bytes) = 0;
  virtual void truncate(std::int64_t bytes) = 0;
  virtual void sync() = 0;
};

enum class OpenMode : std::uint8_t {
  read,
  write,   ///< an existing file, read and written
  create,  ///< read and written; emptied when it exists
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual std::unique_ptr<File> open(const std::filesystem::path& path, OpenMode mode) = 0;
  /// Replaces `to` when it exists, in one step.
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  /// Nothing happens when there is no such file.
  virtual void remove(const std::filesystem::path& path) = 0;
  virtual void make_folders(const std::filesystem::path& path) = 0;
  virtual void sync_folder(const std::filesystem::path& path) = 0;
  virtual bool exists(const std::filesystem::path& path) const = 0;
  /// Names (not paths) of a folder's entries, sorted; none when it does not exist.
  virtual std::vector<std::string> list(const std::filesystem::path& folder) const = 0;
};

/// The machine's own files.
class PosixFileSystem final : public FileSystem {
 public:
  std::unique_ptr<File> open(const std::filesystem::path& path, OpenMode mode) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove(const std::filesystem::path& path) override;
  void make_folders(const std::filesystem::path& path) override;
  void sync_folder(const std::filesystem::path& path) override;
  bool exists(const std::filesystem::path& path) const override;
  std::vector<std::string> list(const std::filesystem::path& folder) const override;
};

/// Writes at the end of a file, whole or not at all: where the disk is full half-way, the file is cut back to `end`.
void append_whole(File& file, std::span<const std::byte> bytes, std::int64_t end);
/// Writes a small file whole or not at all: aside, synced, renamed.
void write_whole_file(FileSystem& files, const std::filesystem::path& path, std::string_view text);
/// The text of a file of at most `limit` bytes; UserError when it is larger.
std::string read_whole_file(FileSystem& files, const std::filesystem::path& path, std::int64_t limit = 64 << 20);

}  // namespace weft
