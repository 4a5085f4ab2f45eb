// "loop.reduction": a pointwise prologue feeding sums, extremes, products and moments over the same dimensions.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_reduction(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_reduction(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
