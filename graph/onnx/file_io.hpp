// Reading whole bounded files, and writing them so that they exist whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace weft::onnx {

/// A regular file held open and read in parts. Safe to use from several threads.
class OpenFile {
 public:
  /// Throws UserError when there is no such file, it is not a regular one or is larger than `limit_bytes`, SystemError
  /// when it cannot be opened.
  OpenFile(std::filesystem::path path, std::int64_t limit_bytes);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::int64_t bytes() const { return bytes_; }
  /// Throws SystemError when reading fails, and when the file was written to since it was opened: parts that were read
  /// before and after would not belong together.
  void read(std::int64_t offset, std::int64_t length, char* to) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::int64_t bytes_ = 0, written_at_ = 0;
};

/// The file's bytes. Throws UserError when there is no such file, it is not a regular one or is larger than
/// `limit_bytes`, SystemError when reading fails.
std::string read_file(const std::filesystem::path& path, std::int64_t limit_bytes);

/// `length` bytes from `offset`; the caller has checked them against the file's size. Throws SystemError.
void read_range(const std::filesystem::path& path, std::int64_t offset, std::int64_t length, char* to);

/// Writes beside `path`, flushes to disk, renames. Nothing is left behind on failure. Throws SystemError.
void write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// The same for a file that is never in memory whole: `produce` calls its argument with one part after the other.
using ByteSink = std::function<void(std::string_view bytes)>;
void write_file_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& produce);

}  // namespace weft::onnx
