// "loop.contraction": dot_general, conv_general and its gradients, for every type and extent that the library refuses.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_contraction(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_contraction(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
