// Operators that look along a dimension that is cut over ranks: each rank looks at its part, then they exchange little.
#pragma once

#include <optional>
#include <vector>

#include "graph/partition/local_graph.hpp"

namespace weft {

/// How `node` is placed where its first operand is cut along the dimension that it looks along; nothing for operators
/// that have no such form. Gather sums the rows that each rank has; maxima, minima and their indices are compared.
std::optional<NodePlacement> place_along_cut(const Graph& graph, const Node& node,
                                             const std::vector<AxisPlacement>& given);

/// The local form of a node that is placed so.
std::vector<ValueId> append_along_cut(LocalGraph& local, const Node& node, const AxisPlacement& x);

/// The part of a scatter_add's result that is `wanted`, cut along the axis of the indices: other ranks' are dropped.
ValueId append_cut_scatter(LocalGraph& local, const Node& node, const AxisPlacement& wanted);

/// The part of random bits that is `wanted`.
ValueId append_cut_random_bits(LocalGraph& local, const Node& node, const AxisPlacement& wanted);

}  // namespace weft
