// Handles of the HDF5 library, the lock around it, and its errors in Weft's terms. Used inside src/hdf5 only.
//
// The library is not thread-safe and keeps one state per process (identifiers, caches, the error stack). Every call
// into it, destructors included, therefore happens under one recursive mutex that `Lock` holds. HDF5's own headers
// stay in the .cpp files: an identifier is a 64-bit integer here.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace weft::hdf5 {

/// An HDF5 identifier (hid_t).
using Id = std::int64_t;

/// Holds the library: automatic error printing is off and no filter plugins are loaded from the environment.
class Lock {
 public:
  Lock();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

/// Owns one identifier; closing errors are ignored (File::close reports what matters).
class Handle {
 public:
  using Close = int (*)(Id);

  Handle() = default;
  Handle(Id id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      id_ = std::exchange(other.id_, -1);
      close_ = other.close_;
    }
    return *this;
  }
  ~Handle() { reset(); }

  Id id() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  void reset() noexcept;
  /// Hands the identifier to the caller, who closes it.
  Id release() { return std::exchange(id_, -1); }

 private:
  Id id_ = -1;
  Close close_ = nullptr;
};

/// Throws what the library's error stack says about the call that has just failed: SystemError where the operating
/// system refused (the stack carries an errno) or where `writing`; UserError where the file's content is at fault.
[[noreturn]] void fail(std::string_view file, std::string_view what, bool writing = false);

/// Throws like `fail` when an HDF5 call returned a negative value; hands the value through otherwise.
template <class T>
T check(T result, std::string_view file, std::string_view what, bool writing = false) {
  if (result < 0) fail(file, what, writing);
  return result;
}

}  // namespace weft::hdf5
