// Where each value of a graph lies along one mesh axis, and what must move.
//
// Axes are handled one after the other: the local graph of one axis is what the next one cuts, its exchanges included.
#pragma once

#include <map>
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
  /// Of the pass, over all ranks: an axis that carries samples cuts feeds and keeps states whole. Others (-1) cut
  /// states and keep feeds whole.
  std::int64_t samples = 0;
  /// Where samples are cut: accumulators that hold sums over the axis, not each rank's share of one.
  std::set<std::string> summed = {};
  /// Where states are cut over ranks that have samples of their own: by value, whether it comes from these. Such a
  /// value stays as it is; sums of such over the axis may be taken in parts.
  std::vector<bool> own = {};

  bool carries_samples() const { return samples >= 0; }
  bool is_own(const Node& node) const;
  /// Whether the node sums values of ranks' own over this axis.
  bool is_sum_of_own(const Node& node) const;
};

/// Placements of states by name, whole or split; those that are not named are whole until an operator wants them cut.
using StateCuts = std::map<std::string, AxisPlacement>;

struct Placements {
  /// By value, after the exchange of those in `settled`.
  std::vector<AxisPlacement> values;
  /// By node: how it wants its operands.
  std::vector<std::vector<AxisPlacement>> operands;
  /// Partial values that are summed over the axis where they are made: whole everywhere, or each rank its part.
  std::map<ValueId, AxisPlacement> settled;
};

/// How a node wants its operands, and how its results lie then.
struct NodePlacement {
  std::vector<AxisPlacement> operands, results;
};

AxisPlacement replicated();
AxisPlacement partial();
AxisPlacement split(int dimension, Dims extents);
bool is_replicated(const AxisPlacement& p);
bool is_partial(const AxisPlacement& p);
bool is_split(const AxisPlacement& p);

/// Whether a state is an accumulator, "accumulate/NAME".
bool is_accumulator(const std::string& state);
/// Whether an output is an accumulator of which each rank holds its own share of the sum.
bool holds_share(const SplitAxis& axis, const GraphOutput& output);

/// Whether every group of a batch norm over dimension 0 lies inside one rank's share.
bool groups_are_local(const AxisPlacement& x, std::int64_t groups);

/// The types of values.
std::vector<TensorType> types_of(const Graph& graph, const std::vector<ValueId>& values);

/// Where every value lies, by the placement rules. On an axis of samples feeds are split along dimension 0 and states
/// are whole. On others states lie as `states` says, and those it does not name adopt the first cut that an operator
/// wants of them, so that biases, moments, and weights that follow a cut weight are cut with it. The fixed point of: a
/// partial value that some reader needs otherwise, or that is in `early`, is exchanged where it is made.
Placements propagate(const Graph& graph, const SplitAxis& axis, const StateCuts& states = {},
                     const std::set<ValueId>& early = {});

}  // namespace weft
