// What stands in for fusion where it is switched off.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

/// Every node a unit of its own, as `fuse` makes them; scalar constants are copied into their readers. Throws UserError
/// naming node and refusals where the device has no kernel for it.
std::vector<Unit> one_node_units(const Graph& graph, const std::vector<std::vector<NodeId>>& buckets,
                                 const KernelOracle& oracle);

}  // namespace weft::lowering
