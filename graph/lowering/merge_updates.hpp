// Small updates of states in few launches.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

/// Elementwise updates, in place, of states of at most 256 KiB wait for others of their kind and share a kernel with
/// them, where the device takes such kernels. They wait no longer than until somebody needs what they do, and until
/// what they keep alive is 1 MiB: larger updates run as their gradients become final. Values do not change.
void merge_small_updates(LoweredGraph& graph, std::vector<Step>& steps, const KernelOracle& oracle);

}  // namespace weft::lowering
