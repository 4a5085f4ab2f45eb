// Files of a cache that holds code: a folder that only this user may write, files that appear whole, and a bound.
//
// What is read here is executed, so everything that others could have written is refused: the folder and each file
// must belong to this user and be writable by nobody else, and nothing is reached through a symbolic link. All names
// are looked up relative to the folder that was checked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace weft::cpu {

/// What the names of its files end in. Other files in the folder are somebody's, and stay.
inline constexpr std::string_view kSuffix = ".weftcode";

/// An open file or folder.
class FileHandle {
 public:
  FileHandle() = default;
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  ~FileHandle();
  FileHandle(FileHandle&& other) noexcept;
  FileHandle& operator=(FileHandle&& other) noexcept;

  int get() const { return descriptor_; }
  /// Gives it up: somebody else closes it.
  int release() { return std::exchange(descriptor_, -1); }
  /// False, with errno, when what was written is lost after all.
  bool close();
  explicit operator bool() const { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

/// Thread-safe, and safe beside other processes that use the same folder.
class CacheFolder {
 public:
  /// Makes the folder, with those above it, when it is missing. Throws SystemError when it cannot be made, opened or
  /// trusted.
  explicit CacheFolder(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }

  /// The whole file, marked as used now; empty when there is none, or none that can be trusted.
  std::optional<std::string> read(const std::string& name) const;
  /// Appears whole or not at all. Throws SystemError.
  void write(const std::string& name, std::string_view bytes) const;
  void remove(const std::string& name) const noexcept;

  /// When there are more than `limit` bytes in such files, removes the files used longest ago until a quarter of it is
  /// free. Removes what writers that died left behind. Returns the bytes that are left.
  std::int64_t shrink(std::int64_t limit) const;

 private:
  std::filesystem::path path_;
  FileHandle folder_;
};

}  // namespace weft::cpu
