// ZeRO: states that lie in parts over the ranks which share out the samples.
//
// "data" is cut twice. First samples are, states whole: gradients are sums over the axis. In the graph that this
// leaves, what comes from a rank's own samples stays as it is, and the rest, equal on all ranks, is cut like any axis
// of parameters cuts it: a sum that only parts are wanted of becomes a reduce-scatter, a state in parts that is wanted
// whole is gathered. The stages are which states are cut (S. Rajbhandari et al., "ZeRO: Memory Optimizations Toward
// Training Trillion Parameter Models", arXiv 1910.02054): 1 the optimiser's, 2 sums of gradients between passes too, 3
// parameters too.
#pragma once

#include "graph/partition/partition.hpp"

namespace weft {

/// A rank's part of a state that is smaller than this is not worth an exchange.
inline constexpr std::int64_t kLeastPartBytes = 256;

/// The cuts along "data" that make a stage (0 to 3) of `step`, a training step's only or last pass, whose states `cuts`
/// cut along other axes. Matrices and higher are cut, along the dimension that no other axis cuts and whose parts are
/// most equal, the first of those; others stay whole. A parameter, its optimiser's states and its accumulator are cut
/// alike. To be passed to `partition` together with `cuts`; other graphs that share the states take the same list.
StateCutList zero_cuts(const Graph& step, const Mesh& mesh, int stage, const StateCutList& cuts,
                       std::int64_t least_bytes = kLeastPartBytes);

/// Extents of the parts along "data" of a dimension: all but the last are equal where that leaves no rank without any,
/// so that the whole is the parts one after the other, and padding at the end.
Dims data_parts(std::int64_t extent, int ranks);

/// The cuts along "data" of the states of `local`, which other axes cut already. Throws UserError where a dimension of
/// `step` is cut by both.
StateCuts data_cuts(const Graph& step, const Graph& local, const Mesh& mesh, const StateCutList& cuts);

/// By value of a graph whose samples are cut along `axis`: whether it depends on which samples a rank has, or is made
/// only for what does.
std::vector<bool> values_of_ranks_own(const Graph& local, const SplitAxis& axis);

}  // namespace weft
