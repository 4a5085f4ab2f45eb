// Kernels generated for a body: elementwise chains, reductions, and rows of both (kernels/loops/rows.hpp).
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_generated(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_generated(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
