// One rank's share of an unsharded training or evaluation graph.
//
// The step's graph defines the values; partitioning never changes them. Placements are propagated from the feeds
// through each operator's placement rule, and collectives are inserted where a rule demands it: an all-reduce exactly
// once for each partial value, where a reader first needs the sum. Every rank's local graph has the same collectives in
// the same order, ranks without samples included.
#pragma once

#include <cstdint>
#include <string>

#include "weft/graph.hpp"
#include "weft/mesh.hpp"

namespace weft {

/// The run-time scalar (i64) of local graphs that says where this rank's samples start in the pass; absent where
/// nothing in the graph depends on it. It is added to "sample_offset" where random numbers are drawn.
inline constexpr const char* kRankSampleOffset = "rank_sample_offset";

/// The local graph of `rank`: feeds are cut along their first dimension over the mesh axis "data" (split_evenly),
/// states and scalars replicated, state outputs and fetches replicated again. States "accumulate/NAME" may hold this
/// rank's own share of a sum between the passes of one step; it is reduced in the pass that ends the step. Ranks with
/// equal role_key get equal graphs. Throws UserError where an axis other than "data" has a size above 1, where feeds
/// disagree about the number of samples, and where random numbers are drawn along a dimension that is not the samples'.
Graph partition(const Graph& step, const Mesh& mesh, int rank);

/// Samples of a pass: the first dimension that all feeds share (rank-0 feeds aside). 0 where there is no such feed.
std::int64_t pass_samples(const Graph& step);

/// Where this rank's samples start, and how many it has.
struct SampleRange {
  std::int64_t first = 0, count = 0;
};
SampleRange rank_samples(std::int64_t samples, const Mesh& mesh, int rank);

/// Ranks with equal keys get equal local graphs of one step graph: "data samples=43 of 128 over 3".
std::string role_key(const Graph& step, const Mesh& mesh, int rank);

}  // namespace weft
