// A library to preload: of the calls that change files of checkpoints, on one rank, the n-th fails. What calls a
// program makes, through whichever library, is decided by the program; here the system answers as a bad disk does.
//
//   WEFT_FAIL_CALL=N    from 0; of write, pwrite, fsync, ftruncate, fallocate and rename on paths within
//   "/checkpoints/" WEFT_FAIL_ERRNO=E   with this errno; 0: a write that takes only half of its bytes, and says so
//   WEFT_FAIL_RANK=R    by OMPI_COMM_WORLD_RANK; 0 for a program that was started alone
//   WEFT_FAIL_NOTE=FILE is made when the call has failed, and says which it was
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

long number(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atol(text);
}

bool is_checkpoint(const char* path) { return std::strstr(path, "/checkpoints/") != nullptr; }

bool is_checkpoint(int handle) {
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
  const ssize_t length = ::readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return is_checkpoint(path);
}

/// Whether this call is the one.
bool fails(const char* what) {
  static std::atomic<long> calls{0};
  const long wanted = number("WEFT_FAIL_CALL", -1);
  if (wanted < 0 || number("OMPI_COMM_WORLD_RANK", 0) != number("WEFT_FAIL_RANK", 0)) return false;
  if (calls++ != wanted) return false;
  if (const char* note = std::getenv("WEFT_FAIL_NOTE"))
    if (std::FILE* file = std::fopen(note, "w")) {
      std::fputs(what, file);
      std::fclose(file);
    }
  return true;
}

long cause() { return number("WEFT_FAIL_ERRNO", EIO); }

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

/// A call that returns -1 or what the real one does.
template <class Function, class... Arguments>
auto called(const char* name, bool concerned, Arguments... arguments) {
  const auto real = next<Function>(name);
  if (concerned && fails(name) && cause() != 0) {
    errno = static_cast<int>(cause());
    return decltype(real(arguments...)){-1};
  }
  return real(arguments...);
}

template <class Write>
ssize_t written(const char* name, int handle, size_t bytes, const Write& write) {
  if (!is_checkpoint(handle) || !fails(name)) return write(bytes);
  if (cause() == 0) return write((bytes + 1) / 2);
  errno = static_cast<int>(cause());
  return -1;
}

}  // namespace

extern "C" {

ssize_t write(int handle, const void* data, size_t bytes) {
  return written("write", handle, bytes,
                 [&](size_t some) { return next<ssize_t (*)(int, const void*, size_t)>("write")(handle, data, some); });
}
ssize_t pwrite(int handle, const void* data, size_t bytes, off_t offset) {
  return written("pwrite", handle, bytes, [&](size_t some) {
    return next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite")(handle, data, some, offset);
  });
}
ssize_t pwrite64(int handle, const void* data, size_t bytes, off64_t offset) {
  return written("pwrite64", handle, bytes, [&](size_t some) {
    return next<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64")(handle, data, some, offset);
  });
}
int fsync(int handle) { return called<int (*)(int)>("fsync", is_checkpoint(handle), handle); }
int ftruncate(int handle, off_t length) noexcept {
  return called<int (*)(int, off_t)>("ftruncate", is_checkpoint(handle), handle, length);
}
int ftruncate64(int handle, off64_t length) noexcept {
  return called<int (*)(int, off64_t)>("ftruncate64", is_checkpoint(handle), handle, length);
}
int fallocate(int handle, int mode, off_t offset, off_t length) {
  return called<int (*)(int, int, off_t, off_t)>("fallocate", is_checkpoint(handle), handle, mode, offset, length);
}
int fallocate64(int handle, int mode, off64_t offset, off64_t length) {
  return called<int (*)(int, int, off64_t, off64_t)>("fallocate64", is_checkpoint(handle), handle, mode, offset,
                                                     length);
}
int rename(const char* from, const char* to) noexcept {
  return called<int (*)(const char*, const char*)>("rename", is_checkpoint(from), from, to);
}
}
