// Recomputation of cheap results: what a training step keeps from its forward for its backward pass.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// Elementwise results that only distant readers (beyond a contraction) would need from memory are computed again for
/// them, where what they are made of is in memory then anyway, or is no larger: the normalised operand and the ReLU
/// mask of a batch normalisation are not kept from forward to backward pass, its operand is. Nothing that a contraction
/// reads is recomputed, so no kernel is added: fusion takes the copies into the readers' kernels. Originals that nobody
/// reads any more stay, dead. Layouts are dropped.
Graph recompute_cheap(const Graph& graph);

}  // namespace weft
