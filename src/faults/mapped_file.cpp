// One open, one fallocate, one mmap.
#include "src/faults/mapped_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "weft/error.hpp"

namespace weft {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::shared_ptr<std::byte> map_new_file(const std::filesystem::path& path, std::size_t bytes) {
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) throw SystemError(fmt::format("{}: {}", path.parent_path().string(), error.message()));
  if (unlink(path.c_str()) != 0 && errno != ENOENT) throw SystemError::from_errno(path.string(), errno);
  const Descriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (file.get() < 0) throw SystemError::from_errno(path.string(), errno);
  // The blocks must exist: a store into a hole of a full disk would be a SIGBUS.
  if (const int code = posix_fallocate(file.get(), 0, static_cast<off_t>(bytes)))
    throw SystemError::from_errno(path.string(), code);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) throw SystemError::from_errno(path.string(), errno);
  return {static_cast<std::byte*>(memory), [bytes](std::byte* at) { munmap(at, bytes); }};
}

}  // namespace weft
