// Object code to functions that can be called: LLVM's ORC, which stays behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace weft::cpu {

/// arguments: one address for each argument of the kernel; runs parallel indices [begin, end).
using PhaseFunction = void (*)(std::byte* const* arguments, std::int64_t begin, std::int64_t end);

/// Code in memory, freed with it.
class LinkedCode {
 public:
  virtual ~LinkedCode() = default;
  std::vector<PhaseFunction> phases;
};

/// Thread-safe. Code may outlive the linker.
class Linker {
 public:
  Linker();
  ~Linker();
  Linker(Linker&&) noexcept;
  Linker& operator=(Linker&&) noexcept;

  /// Throws InternalError when the object is not one of object_code with so many phases.
  std::unique_ptr<LinkedCode> link(const std::string& object, std::size_t phases);

 private:
  class Session;
  std::shared_ptr<Session> session_;
};

}  // namespace weft::cpu
