// Compiling kernels.
#include "kernels/cpu/jit/kernel_compiler.hpp"

#include "kernels/cpu/jit/codegen.hpp"

namespace weft::cpu {

KernelCompiler::KernelCompiler(CpuIsa isa) : target_(jit_target(isa)) {}

std::shared_ptr<const KernelCode> KernelCompiler::compile(const loops::Kernel& kernel) {
  kernel.verify();
  return std::make_shared<const KernelCode>(linker_.link(object_code(kernel, target_), kernel.phases.size()));
}

}  // namespace weft::cpu
