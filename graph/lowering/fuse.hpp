// Fusion: which nodes of a step graph share a kernel.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Cuts `graph` into units, each of which the oracle takes whole. In order:
///   1. a convolution or matrix product takes a bias, a residual and a ReLU that follow it, as far as the oracle
///   agrees;
///   2. reductions over the same dimensions of one shape share a kernel, and recompute cheap elementwise producers that
///      nothing else needs in memory;
///   3. elementwise nodes of one shape that feed each other share a kernel;
///   4. reductions and elementwise groups along equal rows share a kernel (fuse_rows.hpp);
///   5. everything else is a kernel of its own; reshapes are views.
/// Broadcasts and scalar constants are copied into every kernel that reads them. Nothing is fused that would make a
/// cycle, or make the collectives start in another order than that of `buckets` (see buckets.hpp).
/// Throws UserError naming the node and the refusals when the device has no kernel for it.
std::vector<Unit> fuse(const Graph& graph, const std::vector<std::vector<NodeId>>& buckets, const KernelOracle& oracle);

}  // namespace weft::lowering
