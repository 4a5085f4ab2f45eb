// The machine's own files, through POSIX calls; every errno becomes a SystemError with the path.
#include "src/files/file_system.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "weft/error.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

// Linux transfers at most about 2 GiB a call.
constexpr std::size_t kLargestTransfer = 1 << 30;

[[noreturn]] void fail(std::string_view what, const fs::path& path, int cause) {
  throw SystemError::from_errno(fmt::format("cannot {} '{}'", what, path.string()), cause);
}

class PosixFile final : public File {
 public:
  PosixFile(int handle, fs::path path) : handle_(handle), path_(std::move(path)) {}
  ~PosixFile() override { ::close(handle_); }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  int handle() const { return handle_; }

  void write_at(std::span<const std::byte> bytes, std::int64_t offset) override {
    while (!bytes.empty()) {
      const ssize_t done = ::pwrite(handle_, bytes.data(), std::min(bytes.size(), kLargestTransfer), offset);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) fail("write", path_, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(done));
      offset += done;
    }
  }

  void read_at(std::span<std::byte> to, std::int64_t offset) const override {
    while (!to.empty()) {
      const ssize_t done = ::pread(handle_, to.data(), std::min(to.size(), kLargestTransfer), offset);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) fail("read", path_, errno);
      if (done == 0)
        throw SystemError(fmt::format("cannot read '{}': it ends at byte {}, {} more were expected", path_.string(),
                                      offset, to.size()));
      to = to.subspan(static_cast<std::size_t>(done));
      offset += done;
    }
  }

  std::int64_t size() const override {
    struct stat info {};
    if (::fstat(handle_, &info) != 0) fail("examine", path_, errno);
    if (!S_ISREG(info.st_mode)) throw UserError(fmt::format("'{}' is not a regular file", path_.string()));
    return info.st_size;
  }

  void reserve(std::int64_t bytes) override {
    if (bytes <= 0) return;
    while (::fallocate(handle_, 0, 0, bytes) != 0) {
      if (errno == EINTR) continue;
      if (errno == EOPNOTSUPP || errno == ENOSYS) return;
      fail(fmt::format("reserve {} bytes for", bytes), path_, errno);
    }
  }

  void truncate(std::int64_t bytes) override {
    while (::ftruncate(handle_, bytes) != 0)
      if (errno != EINTR) fail("shorten", path_, errno);
  }

  void sync() override {
    while (::fsync(handle_) != 0)
      if (errno != EINTR) fail("flush", path_, errno);
  }

 private:
  int handle_;
  fs::path path_;
};

int open_handle(const fs::path& path, int flags, std::string_view what) {
  for (;;) {
    const int handle = ::open(path.c_str(), flags | O_CLOEXEC, 0666);
    if (handle >= 0) return handle;
    if (errno != EINTR) fail(what, path, errno);
  }
}

}  // namespace

std::unique_ptr<File> PosixFileSystem::open(const fs::path& path, OpenMode mode) {
  const int flags = mode == OpenMode::read ? O_RDONLY : mode == OpenMode::write ? O_RDWR : O_RDWR | O_CREAT | O_TRUNC;
  return std::make_unique<PosixFile>(open_handle(path, flags, mode == OpenMode::create ? "create" : "open"), path);
}

void PosixFileSystem::rename(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail(fmt::format("rename '{}' to", from.string()), to, errno);
}

void PosixFileSystem::remove(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail("remove", path, errno);
}

void PosixFileSystem::make_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail("create the folder", path, error.value());
}

void PosixFileSystem::sync_folder(const fs::path& path) {
  const PosixFile folder(open_handle(path, O_RDONLY | O_DIRECTORY, "open the folder"), path);
  // A file system that cannot flush a folder says EINVAL and has nothing to flush.
  while (::fsync(folder.handle()) != 0)
    if (errno == EINVAL)
      return;
    else if (errno != EINTR)
      fail("flush the folder", path, errno);
}

bool PosixFileSystem::exists(const fs::path& path) const {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

std::vector<std::string> PosixFileSystem::list(const fs::path& folder) const {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    names.push_back(it->path().filename().string());
  if (error && error != std::errc::no_such_file_or_directory) fail("list the folder", folder, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

void append_whole(File& file, std::span<const std::byte> bytes, std::int64_t end) {
  try {
    file.write_at(bytes, end);
  } catch (const SystemError&) {
    try {
      file.truncate(end);
    } catch (const SystemError&) {
      // The first failure is what there is to say.
    }
    throw;
  }
}

void write_whole_file(FileSystem& files, const fs::path& path, std::string_view text) {
  fs::path aside = path;
  aside += ".partial";
  try {
    {
      const auto file = files.open(aside, OpenMode::create);
      file->write_at(std::as_bytes(std::span(text.data(), text.size())), 0);
      file->sync();
    }
    files.rename(aside, path);
  } catch (const Error&) {
    try {
      files.remove(aside);
    } catch (const Error&) {
      // What failed first is what the user must know.
    }
    throw;
  }
}

std::string read_whole_file(FileSystem& files, const fs::path& path, std::int64_t limit) {
  const auto file = files.open(path, OpenMode::read);
  const std::int64_t size = file->size();
  if (size > limit)
    throw UserError(fmt::format("'{}' holds {} bytes; at most {} are expected there", path.string(), size, limit));
  std::string text(static_cast<std::size_t>(size), '\0');
  file->read_at(std::as_writable_bytes(std::span(text.data(), text.size())), 0);
  return text;
}

}  // namespace weft
