// Kernels in the loop IR compiled for this processor.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cpu/jit/code_cache.hpp"
#include "kernels/cpu/jit/jit_target.hpp"
#include "kernels/cpu/jit/linker.hpp"
#include "kernels/loops/ir.hpp"

namespace weft::cpu {

/// A compiled kernel: one function for each phase. Owns the code; may outlive its compiler.
class KernelCode {
 public:
  KernelCode(std::unique_ptr<LinkedCode> code) : code_(std::move(code)) {}
  std::span<const PhaseFunction> phases() const { return code_->phases; }

 private:
  std::unique_ptr<LinkedCode> code_;
};

/// Kernels compiled so far.
struct CompileCounts {
  std::int64_t generated = 0;  ///< by LLVM
  std::int64_t found = 0;      ///< in the cache
};

class KernelCompiler {
 public:
  /// Throws UserError when this processor lacks the instruction set. Without cache options nothing is kept on disk.
  explicit KernelCompiler(CpuIsa isa = CpuIsa::automatic, CodeCacheOptions cache = {});

  const JitTarget& target() const { return target_; }
  /// Natural width of a vector: 64, 32 or 16.
  int register_bytes() const { return target_.register_bytes; }

  /// From the cache, or by LLVM. Thread-safe: several kernels may be compiled side by side. Throws InternalError when
  /// the kernel breaks a rule of ir.hpp.
  std::shared_ptr<const KernelCode> compile(const loops::Kernel& kernel);

  /// All of them, in their order, on as many threads.
  std::vector<std::shared_ptr<const KernelCode>> compile_all(std::span<const loops::Kernel* const> kernels,
                                                             int threads);

  /// Whether there is a cache on disk that can be written.
  bool keeps() const { return cache_.keeps(); }
  /// What `note` kept in the cache about a kernel, compiled for this target, under the heading `about`.
  std::optional<std::string> noted(const std::string& about, const loops::Kernel& kernel);
  void note(const std::string& about, const loops::Kernel& kernel, std::string_view text);

  CompileCounts counts() const { return {generated_, found_}; }

 private:
  std::unique_ptr<LinkedCode> link_cached(const std::string& key, std::size_t phases);

  JitTarget target_;
  CodeCache cache_;
  Linker linker_;
  std::atomic<std::int64_t> generated_ = 0;
  std::atomic<std::int64_t> found_ = 0;
};

}  // namespace weft::cpu
