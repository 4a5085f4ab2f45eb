// Gradients to the filters of many small groups, computed as those of fewer groups of whole channel blocks.
//
// The library has generated code for groups of 8 or 16 channels and their multiples; smaller ones it multiplies one by
// one. The filter of `m` neighbouring groups taken as one has the wanted ones as its diagonal blocks, and nobody looks
// at the rest: m times the multiply-adds, and still several times faster. (The other directions would have to multiply
// by blocks of zeros, and a NaN of one group would reach the others.)
#pragma once

#include "kernels/cpu/implementation.hpp"

namespace weft::cpu {

/// How many groups to join, or 0 where joining does not help: channels per group on the input and the output side.
std::int64_t groups_to_merge(std::int64_t groups, std::int64_t inputs, std::int64_t outputs);

Claim claim_merged_groups(const Graph& body, const Context& context);
std::unique_ptr<CpuKernel> compile_merged_groups(const KernelSpec& spec, const Context& context);

}  // namespace weft::cpu
