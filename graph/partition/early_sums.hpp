// Where to take partial sums: as late as they can be is once for each reader that needs the sum; earlier may be
// cheaper.
#pragma once

#include <set>

#include "graph/partition/placements.hpp"

namespace weft {

/// The values at which to take sums, so that all the exchanges of partial values cost together the least: where
/// `placements`, which take them as late as they can be, do, or before a broadcast, before several linear functions of
/// one sum, or on the way from many sums to many readers. A minimum cut of what is partial.
std::set<ValueId> best_sums(const Graph& graph, const Placements& placements, const SplitAxis& axis);

}  // namespace weft
