// "loop.copy": bodies of one operator that only moves elements: reorder, reshape, transpose, broadcast, slice, pad,
// concat, reverse, and constants; any type, any layout to any layout. Padding of the result is written as zeros.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_copy(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_copy(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
