// "loop.pointwise": fused elementwise bodies of one iteration shape, over any layout.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_pointwise(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_pointwise(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
