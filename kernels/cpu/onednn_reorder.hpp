// "onednn.reorder": a tensor from one layout to another, where the library generates code for the pair.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_reorder(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_reorder(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
