// One rank's share of an unsharded training or evaluation graph.
//
// The step's graph defines the values; partitioning never changes them. It is done one mesh axis after the other: the
// axes that cut parameters first, then "data", which cuts the samples of what is left, exchanges over the other axes
// included. Along each axis placements are propagated through every operator's placement rule, and collectives are
// inserted where a rule demands them, once for all readers that want the same. Every rank's local graph has the same
// collectives in the same order, ranks without samples included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "graph/partition/placements.hpp"
#include "weft/graph.hpp"
#include "weft/mesh.hpp"

namespace weft {

/// The mesh axis that cuts samples.
inline constexpr const char* kSamplesAxis = "data";

/// The run-time scalar (i64) of local graphs that says where this rank's samples start in the pass; absent where
/// nothing in the graph depends on it. It is added to "sample_offset" where random numbers are drawn.
inline constexpr const char* kRankSampleOffset = "rank_sample_offset";

/// The run-time scalar (i64) that says where a rank stands along another axis: "coordinate/tensor". Absent likewise.
std::string coordinate_input(const std::string& axis);

/// The local graph of `rank`: feeds are cut along their first dimension over the mesh axis "data" (split_evenly),
/// states as `cuts` says and, along axes other than "data", as follows from it; scalars and fetches are whole. State
/// outputs lie as their states. States "accumulate/NAME" that are not cut along "data" hold this rank's own share,
/// along it, of a sum between the passes of one step; it is reduced in the pass that ends the step. Ranks with equal
/// role_key get equal graphs. Throws UserError where feeds disagree about the number of samples, where random numbers
/// are drawn along a dimension that is not the samples', and for cuts that the states or the mesh do not allow.
Graph partition(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts = {});

/// How each state of the step lies, one entry an axis of the mesh, each of what the axes before it left. Throws
/// UserError where an axis cuts a dimension that one before it left in unequal parts: ranks would need lists of their
/// own.
std::map<std::string, Placement> state_placements(const Graph& step, const Mesh& mesh, const StateCutList& cuts);

/// Whether the axes other than "data" leave every rank states of the same extents.
bool parameters_are_even(const Graph& step, const Mesh& mesh, const StateCutList& cuts);

/// The same as a list that leaves nothing open: other graphs that share the states (evaluation, passes of other sizes)
/// cut them alike with it.
StateCutList settled_cuts(const Mesh& mesh, const std::map<std::string, Placement>& placements);

/// Samples of a pass: the first dimension that all feeds share (rank-0 feeds aside). 0 where there is no such feed.
std::int64_t pass_samples(const Graph& step);

/// Where this rank's samples start, and how many it has.
struct SampleRange {
  std::int64_t first = 0, count = 0;
};
SampleRange rank_samples(std::int64_t samples, const Mesh& mesh, int rank);

/// Ranks with equal keys get equal local graphs of one step graph: "data samples=43 of 128 over 3".
std::string role_key(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts = {});

}  // namespace weft
