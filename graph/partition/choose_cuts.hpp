// Which parameters to cut along a mesh's axes, where the job does not say: the cuts that make the step cheapest.
#pragma once

#include "graph/partition/costs.hpp"
#include "graph/partition/partition.hpp"

namespace weft {

/// Which cuts are looked at.
struct CutLimits {
  bool even = false;  ///< only such as leave all ranks equal parts
};

/// Cuts of the weights that contractions and gathers read. Weights alike in type and use are one group; groups are
/// taken in the order of their first use, and each dimension, whole or in the blocks that slices of the graph take, is
/// tried for all of a group with what propagation cuts along with it. The few choices that cost least by `rates` are
/// kept from group to group: work of contractions, bytes of memory, and exchanges. A function of shapes alone, never of
/// names.
///
/// `fixed` are cuts that are decided: the result begins with them, and the rest is chosen around them; what they leave
/// whole stays whole.
StateCutList choose_cuts(const Graph& step, const Mesh& mesh, const CostRates& rates = {}, const CutLimits& limits = {},
                         const StateCutList& fixed = {});

}  // namespace weft
