// Fusion: which nodes of a step graph share a kernel.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// What was decided before fusion.
struct FixedGroups {
  const std::vector<std::vector<NodeId>>& buckets;  ///< of collectives that start together (buckets.hpp)
  const std::vector<std::vector<NodeId>>& alone;    ///< kernels that nothing joins (rematerialise.hpp)
};

/// Cuts `graph` into units, each of which the oracle takes whole. In order:
///   1. a convolution or matrix product takes a bias, a residual and a ReLU that follow it, as far as the oracle
///   agrees;
///   2. reductions over the same dimensions of one shape share a kernel, and recompute cheap elementwise producers that
///      nothing else needs in memory;
///   3. elementwise nodes of one shape that feed each other share a kernel;
///   4. reductions and elementwise groups along equal rows share a kernel (fuse_rows.hpp);
///   5. everything else is a kernel of its own; reshapes are views.
/// Broadcasts and scalar constants are copied into every kernel that reads them. Nothing is fused that would make a
/// cycle, or make the collectives start in another order than that of the buckets.
/// Throws UserError naming the node and the refusals when the device has no kernel for it.
std::vector<Unit> fuse(const Graph& graph, const FixedGroups& fixed, const KernelOracle& oracle);

}  // namespace weft::lowering
