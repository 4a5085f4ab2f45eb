// Which parameters to cut along a mesh's axes, where the job does not say: the cuts that make the step cheapest.
#pragma once

#include "graph/partition/costs.hpp"
#include "graph/partition/partition.hpp"

namespace weft {

/// Cuts of the weights that contractions and gathers read, one weight after the other in the order of their first use:
/// each dimension, whole or in the blocks that slices of the graph take, is tried with all that propagation cuts along
/// with it, and the best is kept where it saves time by `rates`: work of contractions and bytes of memory less
/// exchanges. Weights alike in type and use are cut alike where that saves time again. A function of shapes alone,
/// never of names.
StateCutList choose_cuts(const Graph& step, const Mesh& mesh, const CostRates& rates = {});

}  // namespace weft
