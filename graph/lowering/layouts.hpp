// Layout assignment: where each value lies in memory, and the reorders between kernels that disagree.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Walks the units in dependency order and settles each kernel's layouts with the oracle: convolutions take the
/// cheapest, reorders included, of the orders that their activations prefer and of what the device likes best; others
/// are offered what their operands have, then one layout for all, then row-major. A reorder kernel is inserted (once
/// for each tensor and layout) where an operand lies otherwise. States, feeds, fetches and operands of collectives are
/// row-major. Without `propagate` so is every result, and the next kernel starts from there.
/// Throws UserError when no layout is accepted, with the refusals.
LoweredGraph assign_layouts(const Graph& graph, const std::vector<Unit>& units, const KernelOracle& oracle,
                            bool propagate = true);

/// Units in dependency order, ties by position in the graph.
std::vector<int> dependency_order(const Graph& graph, const std::vector<Unit>& units);

}  // namespace weft::lowering
