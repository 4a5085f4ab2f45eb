// "generated.segments": one generated elementwise kernel over many operands of different lengths
// (kernels/loops/segments.hpp), in one launch.
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

Claim claim_segments(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_segments(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
