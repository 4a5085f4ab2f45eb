// Convolutions and their two gradients through oneDNN.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_convolution(const Graph& body, const Context& context);
Claim claim_convolution_backward_data(const Graph& body, const Context& context);
Claim claim_convolution_backward_weights(const Graph& body, const Context& context);

std::unique_ptr<CpuKernel> compile_convolution(const KernelSpec& spec, const Context& context);
std::unique_ptr<CpuKernel> compile_convolution_backward_data(const KernelSpec& spec, const Context& context);
std::unique_ptr<CpuKernel> compile_convolution_backward_weights(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
