// How one node is placed along an axis: its operator's rule, and what depends on more than one operator's attributes.
#pragma once

#include <optional>

#include "graph/partition/placements.hpp"

namespace weft {

/// The answer for operands that lie as `given`. Where several ways are open on an axis of parameters, the one that
/// moves the fewest bytes. Throws UserError for what cannot be cut over samples.
NodePlacement place_node(const Graph& graph, const SplitAxis& axis, const Node& node,
                         const std::vector<AxisPlacement>& given);

/// How the operands of a node must lie for its only result, which could be whole, to be made cut as `wanted` without an
/// exchange; nothing where there is no such way.
std::optional<std::vector<AxisPlacement>> operands_of_cut(const Graph& graph, const Node& node,
                                                          const AxisPlacement& wanted);

}  // namespace weft
