// dot_general through oneDNN's matrix product.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_matmul(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_matmul(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
