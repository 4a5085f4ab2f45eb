// "reference": the last claimant. One operator a body, row-major operands; takes what no other family does: gather and
// scatter, scans along an axis, random bits, and reductions of nothing.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_reference(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_reference(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
