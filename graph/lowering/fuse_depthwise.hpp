// Depthwise convolutions with what stands around them: they do little work for each byte, so what is normalised and
// clipped before them is computed as they read it, and the sums of what they make are taken as they write it.
#pragma once

#include "graph/lowering/groups.hpp"

namespace weft::lowering {

/// A convolution with one channel a group, or a gradient of one, of two spatial dimensions.
bool is_depthwise_convolution(const Graph& graph, NodeId n);

/// Adds a group for each depthwise convolution before which, or of whose gradients behind which, something can be
/// computed in the same kernel, as far as the oracle agrees:
///   - forward: the pointwise operators that make its operand, where nothing but depthwise convolutions reads that,
///     those behind it, and the moments of its result;
///   - backward: both gradients together, the pointwise operators that make their operands, and the sums over all but
///     the channels of what is made of the gradient to the input.
void group_depthwise(Groups& groups, const KernelOracle& oracle);

}  // namespace weft::lowering
