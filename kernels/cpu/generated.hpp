// Kernels generated for a body: elementwise chains, reductions, rows of both (kernels/loops/rows.hpp), and attention
// (kernels/loops/attention.hpp).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_generated(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_generated(const KernelSpec& spec, const Context& context);
/// Several side by side, in their order.
std::vector<std::unique_ptr<CpuKernel>> compile_generated(std::span<const KernelSpec* const> specs,
                                                          const Context& context);

}  // namespace weft::cpu
