// Kernels in the loop IR compiled for this processor.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

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

class KernelCompiler {
 public:
  /// Throws UserError when this processor lacks the instruction set.
  explicit KernelCompiler(CpuIsa isa = CpuIsa::automatic);

  const JitTarget& target() const { return target_; }
  /// Natural width of a vector: 64, 32 or 16.
  int register_bytes() const { return target_.register_bytes; }

  /// Thread-safe: several kernels may be compiled side by side. Throws InternalError when the kernel breaks a rule of
  /// ir.hpp.
  std::shared_ptr<const KernelCode> compile(const loops::Kernel& kernel);

 private:
  JitTarget target_;
  Linker linker_;
};

}  // namespace weft::cpu
