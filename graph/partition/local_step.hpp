// The local graph of one coordinate of one mesh axis.
#pragma once

#include "graph/partition/placements.hpp"

namespace weft {

/// What the ranks at `coordinate` of the axis compute of `step`, whose values lie as `placements` says.
Graph local_step(const Graph& step, const SplitAxis& axis, int coordinate, Placements placements);

}  // namespace weft
