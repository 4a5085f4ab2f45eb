// Attention takes along what only moves its operands and results.
#pragma once

#include <vector>

#include "graph/lowering/groups.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

/// Makes a group of each attention and attention_grad, with copies of the slices, transposes and reshapes that lead to
/// its operands, and with the transposes, reshapes and concatenations that alone read its results, as far as the oracle
/// takes them. Returns, by node, which are thereby copied into all kernels that read them and need no kernel
/// themselves.
std::vector<bool> group_attention(Groups& groups, const KernelOracle& oracle);

}  // namespace weft::lowering
