// Depthwise convolutions of any window and their gradients, where the library has no kernel of its own.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_depthwise(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_depthwise(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
