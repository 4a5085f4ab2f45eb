// What tests of generated code have in common.
#pragma once

#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu/jit/kernel_compiler.hpp"
#include "kernels/loops/build.hpp"

namespace weft::cpu::testing {

/// Instruction sets that this processor has.
std::vector<CpuIsa> instruction_sets();

/// One compiler for each instruction set.
KernelCompiler& compiler_of(CpuIsa isa);

/// All phases, each over its whole extent in two parts.
void run_kernel(const KernelCode& code, const loops::Kernel& kernel, std::vector<std::byte*> arguments);
void compile_and_run(CpuIsa isa, const loops::Kernel& kernel, std::vector<std::byte*> arguments);

template <class T>
std::byte* bytes_of(std::vector<T>& values) {
  return reinterpret_cast<std::byte*>(values.data());
}

/// Special values of a type and numbers of all magnitudes, in its storage form.
std::vector<std::byte> interesting_values(DType type, std::size_t count, unsigned seed);

/// Index of the first element that differs, or -1; NaN equals NaN, and everything else is compared bit for bit.
std::int64_t first_difference(DType type, const std::byte* a, const std::byte* b, std::size_t count);

/// The element as text.
std::string show(DType type, const std::byte* element);

}  // namespace weft::cpu::testing
