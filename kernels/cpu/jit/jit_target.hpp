// What kernels are compiled for: an instruction set as LLVM names it, and what the emitter must know of it.
#pragma once

#include <string>

#include "kernels/cpu/isa.hpp"

namespace weft::cpu {

struct JitTarget {
  CpuIsa isa = CpuIsa::baseline;
  std::string cpu;          ///< LLVM's name: "x86-64-v4"
  std::string features;     ///< LLVM's list of what this processor has beyond it: "+avx512bf16,+avx512vnni"
  int register_bytes = 16;  ///< natural width of a vector
  bool fma = false;
  bool f16c = false;
  bool bf16 = false;           ///< conversion to bf16, and products of pairs of bf16 numbers, in hardware
  bool masked_memory = false;  ///< masked loads and stores of any element cost what others do

  /// Everything that decides the code, as text: part of the key of cached code.
  std::string key() const;
};

/// `automatic` is the best that this processor has. Throws UserError when it lacks the one asked for.
JitTarget jit_target(CpuIsa isa);

}  // namespace weft::cpu
