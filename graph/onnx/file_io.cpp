// File input and output with POSIX calls, for their exact errors and for fsync.
#include "graph/onnx/file_io.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "weft/error.hpp"

namespace weft::onnx {
namespace {

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags) : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  int close() {
    const int result = fd_ >= 0 ? ::close(fd_) : 0;
    fd_ = -1;
    return result;
  }

 private:
  int fd_;
};

std::int64_t nanoseconds(const struct timespec& t) {
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

void read_all(int fd, std::int64_t offset, char* to, std::int64_t length, const std::filesystem::path& path) {
  while (length > 0) {
    const ssize_t got = ::pread(fd, to, static_cast<std::size_t>(std::min<std::int64_t>(length, 1 << 30)), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError::from_errno(path.string() + ": reading", errno);
    if (got == 0) throw SystemError(path.string() + ": became shorter while it was read");
    to += got, offset += got, length -= got;
  }
}

void write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), 1 << 30));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw SystemError::from_errno(path.string() + ": writing", errno);
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
}

}  // namespace

OpenFile::OpenFile(std::filesystem::path path, std::int64_t limit_bytes) : path_(std::move(path)) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  Descriptor file(path_, O_RDONLY | O_NONBLOCK);
  if (file.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) throw UserError(path_.string() + ": there is no such file");
    throw SystemError::from_errno(path_.string() + ": opening", errno);
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) throw SystemError::from_errno(path_.string(), errno);
  if (!S_ISREG(info.st_mode)) throw UserError(path_.string() + ": is not a regular file");
  if (info.st_size > limit_bytes)
    throw UserError(fmt::format("{}: {} bytes; at most {} are allowed. Keep large tensors as external data",
                                path_.string(), info.st_size, limit_bytes));
  bytes_ = info.st_size;
  written_at_ = nanoseconds(info.st_mtim);
  descriptor_ = file.release();
}

OpenFile::~OpenFile() { ::close(descriptor_); }

void OpenFile::read(std::int64_t offset, std::int64_t length, char* to) const {
  read_all(descriptor_, offset, to, length, path_);
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) throw SystemError::from_errno(path_.string(), errno);
  if (info.st_size != bytes_ || nanoseconds(info.st_mtim) != written_at_)
    throw SystemError(path_.string() +
                      ": was written to while it was in use. Start again, and leave it alone meanwhile");
}

std::string read_file(const std::filesystem::path& path, std::int64_t limit_bytes) {
  const OpenFile file(path, limit_bytes);
  std::string bytes(static_cast<std::size_t>(file.bytes()), '\0');
  file.read(0, file.bytes(), bytes.data());
  return bytes;
}

void read_range(const std::filesystem::path& path, std::int64_t offset, std::int64_t length, char* to) {
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);
  if (file.get() < 0) throw SystemError::from_errno(path.string() + ": opening", errno);
  read_all(file.get(), offset, to, length, path);
}

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes) {
  write_file_atomically(path, [&](const ByteSink& sink) { sink(bytes); });
}

void write_file_atomically(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& produce) {
  const std::filesystem::path aside = path.string() + fmt::format(".{}.tmp", ::getpid());
  try {
    Descriptor file(aside, O_WRONLY | O_CREAT | O_TRUNC);
    if (file.get() < 0) throw SystemError::from_errno(aside.string() + ": creating", errno);
    produce([&](std::string_view bytes) { write_all(file.get(), bytes, aside); });
    if (::fsync(file.get()) != 0) throw SystemError::from_errno(aside.string() + ": flushing", errno);
    if (file.close() != 0) throw SystemError::from_errno(aside.string() + ": closing", errno);
    if (::rename(aside.c_str(), path.c_str()) != 0)
      throw SystemError::from_errno(path.string() + ": renaming into place", errno);
  } catch (...) {
    ::unlink(aside.c_str());
    throw;
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const Descriptor directory(folder, O_RDONLY | O_DIRECTORY);
  // Some file systems cannot flush a directory; the file's own data is safe either way.
  if (directory.get() >= 0) static_cast<void>(::fsync(directory.get()));
}

}  // namespace weft::onnx
