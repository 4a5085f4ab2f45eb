// Where each value of a graph lies along one mesh axis, and what must move.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/mesh.hpp"

namespace weft {

/// The axis that a graph is cut over.
struct SplitAxis {
  std::string name = "data";
  int size = 1;
  std::int64_t samples = 0;  ///< of the pass, over all ranks
};

struct Placements {
  /// By value, after the all-reduce of those in `reduced`.
  std::vector<AxisPlacement> values;
  /// By node: how it wants its operands.
  std::vector<std::vector<AxisPlacement>> operands;
  /// Partial values that are summed over the axis where they are made.
  std::set<ValueId> reduced;
};

AxisPlacement replicated();
AxisPlacement partial();
AxisPlacement split(int dimension, Dims extents);
bool is_replicated(const AxisPlacement& p);
bool is_partial(const AxisPlacement& p);
bool is_split(const AxisPlacement& p);

/// Whether an output is a state "accumulate/NAME": each rank holds its own share of the sum.
bool holds_share(const GraphOutput& output);

/// Whether every group of a batch norm over dimension 0 lies inside one rank's share.
bool groups_are_local(const AxisPlacement& x, std::int64_t groups);

/// Feeds split along dimension 0, states and scalars replicated, and everything after them by the placement rules.
/// The fixed point of: a partial value that some reader needs whole is reduced where it is made.
Placements propagate(const Graph& graph, const SplitAxis& axis);

}  // namespace weft
