// Convolutions and their two gradients through oneDNN: directly, and by Winograd's algorithm (Lavin and Gray, 'Fast
// Algorithms for Convolutional Neural Networks', 2015) where job.math is fast. It transforms tiles of 6 x 6 to give 4 x
// 4 results with a quarter of the multiplications, and loses some digits: see CpuWinograd in tests/kernels/cpu.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_convolution(const Graph& body, const Context& context);
Claim claim_convolution_backward_data(const Graph& body, const Context& context);
Claim claim_convolution_backward_weights(const Graph& body, const Context& context);
Claim claim_winograd(const Graph& body, const Context& context);
Claim claim_winograd_backward_data(const Graph& body, const Context& context);
Claim claim_winograd_backward_weights(const Graph& body, const Context& context);

std::unique_ptr<CpuKernel> compile_convolution(const KernelSpec& spec, const Context& context);
std::unique_ptr<CpuKernel> compile_convolution_backward_data(const KernelSpec& spec, const Context& context);
std::unique_ptr<CpuKernel> compile_convolution_backward_weights(const KernelSpec& spec, const Context& context);
std::unique_ptr<CpuKernel> compile_winograd(const KernelSpec& spec, const Context& context);
std::unique_ptr<CpuKernel> compile_winograd_backward_data(const KernelSpec& spec, const Context& context);
std::unique_ptr<CpuKernel> compile_winograd_backward_weights(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
