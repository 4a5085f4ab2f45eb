// From a kernel to object code. LLVM stays behind it.
#pragma once

#include <string>

#include "kernels/cpu/jit/jit_target.hpp"
#include "kernels/loops/ir.hpp"

namespace weft::cpu {

/// Name of a phase's function in the object.
std::string phase_name(std::size_t phase);

/// The kernel as LLVM IR, before or after optimisation: for people.
std::string llvm_text(const loops::Kernel& kernel, const JitTarget& target, bool optimised);
std::string assembly_text(const loops::Kernel& kernel, const JitTarget& target);

/// An ELF object that defines every phase. Threads may call it at once.
std::string object_code(const loops::Kernel& kernel, const JitTarget& target);

/// The text that decides object_code: the kernel, the target, and the versions of LLVM and of the emitter.
std::string code_key(const loops::Kernel& kernel, const JitTarget& target);

}  // namespace weft::cpu
