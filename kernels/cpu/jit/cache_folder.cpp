// Files of a cache that holds code, on POSIX calls: openat and its kin, and fstat on what was opened.
#include "kernels/cpu/jit/cache_folder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr std::string_view kTemporary = ".weftcode-";
constexpr std::int64_t kLargestFile = std::int64_t{64} << 20;
constexpr std::time_t kHour = 3600;

/// Why others may have written it; empty when they cannot have.
std::string distrust(const struct stat& status) {
  if (status.st_uid != ::geteuid()) return "belongs to another user";
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) return "can be written by other users";
  return {};
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ::ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool read_all(int file, std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ::ssize_t count = ::read(file, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

/// A name that no other writer on any node has.
std::string temporary_name() {
  static std::atomic<unsigned> next{0};
  std::random_device random;
  return fmt::format("{}{}-{}-{:08x}{:08x}", kTemporary, ::getpid(), next++, random(), random());
}

FileHandle open_folder(const std::filesystem::path& path) {
  const auto failed = [&](int error) {
    return SystemError::from_errno("cannot use the cache folder " + path.string(), error);
  };
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) throw failed(error.value());
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) throw failed(errno);
  FileHandle folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) throw failed(errno);
  struct stat status {};
  if (::fstat(folder.get(), &status) != 0) throw failed(errno);
  if (const std::string why = distrust(status); !why.empty())
    throw SystemError("the cache folder " + path.string() + " " + why + ", and what it holds would be executed");
  return folder;
}

}  // namespace

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) ::close(descriptor_);
}
bool FileHandle::close() { return ::close(release()) == 0; }
FileHandle::FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

CacheFolder::CacheFolder(const std::filesystem::path& path) : path_(path), folder_(open_folder(path)) {}

std::optional<std::string> CacheFolder::read(const std::string& name) const {
  // Not blocking: a pipe of that name would wait for a writer.
  const FileHandle file(::openat(folder_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return std::nullopt;
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || !distrust(status).empty()) return std::nullopt;
  if (status.st_size < 0 || status.st_size > kLargestFile) return std::nullopt;
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  if (!read_all(file.get(), bytes)) return std::nullopt;
  // Its time of change is when it was last used, to the hour. Where that cannot be kept, the oldest goes first.
  if (std::time(nullptr) - status.st_mtime > kHour) ::futimens(file.get(), nullptr);
  return bytes;
}

void CacheFolder::write(const std::string& name, std::string_view bytes) const {
  const std::string temporary = temporary_name();
  const auto failed = [&](int error) {
    ::unlinkat(folder_.get(), temporary.c_str(), 0);
    return SystemError::from_errno("cannot write in the cache folder " + path_.string(), error);
  };
  FileHandle file(::openat(folder_.get(), temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           S_IRUSR | S_IWUSR));
  if (!file || !write_all(file.get(), bytes) || !file.close()) throw failed(errno);
  // No fsync: after a crash the checksum tells.
  if (::renameat(folder_.get(), temporary.c_str(), folder_.get(), name.c_str()) != 0) throw failed(errno);
}

void CacheFolder::remove(const std::string& name) const noexcept { ::unlinkat(folder_.get(), name.c_str(), 0); }

std::int64_t CacheFolder::shrink(std::int64_t limit) const {
  struct Entry {
    std::pair<std::time_t, long> used;
    std::int64_t bytes = 0;
    std::string name;
  };
  FileHandle again(::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const std::unique_ptr<::DIR, int (*)(::DIR*)> list(again ? ::fdopendir(again.get()) : nullptr, ::closedir);
  if (!list) return 0;
  again.release();
  std::vector<Entry> entries;
  std::int64_t total = 0;
  const std::time_t now = std::time(nullptr);
  while (const ::dirent* found = ::readdir(list.get())) {
    const std::string name = found->d_name;
    struct stat status {};
    if (::fstatat(folder_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode)) continue;
    if (name.starts_with(kTemporary)) {
      if (now - status.st_mtime > kHour) remove(name);
      continue;
    }
    if (!name.ends_with(kSuffix)) continue;
    entries.push_back({{status.st_mtim.tv_sec, status.st_mtim.tv_nsec}, status.st_size, name});
    total += status.st_size;
  }
  if (total <= limit) return total;
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (total <= limit - limit / 4) break;
    remove(entry.name);
    total -= entry.bytes;
  }
  return total;
}

}  // namespace weft::cpu
