// "loop.window": reductions over sliding windows and their gradients, over any layout that does not block a windowed
// dimension.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_window(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_window(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
