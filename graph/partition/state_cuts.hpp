// Which states are cut along one axis of parameters, and what the graph looks like to it.
#pragma once

#include "graph/partition/partition.hpp"

namespace weft {

/// Composites that look along dimensions which may be cut (softmax, layer norm, cross-entropy, ...) and those that draw
/// random numbers are decomposed: each of their parts has a placement of its own.
Graph open_composites(const Graph& graph);

/// The cuts along one axis, checked. Throws UserError naming the state.
StateCuts cuts_along(const Graph& graph, const MeshAxis& axis, const StateCutList& cuts);

/// Where every value of an opened graph lies along the axis. Partial sums are taken where that moves the least.
Placements place_parameters(const Graph& opened, const SplitAxis& axis, const StateCuts& states);

}  // namespace weft
