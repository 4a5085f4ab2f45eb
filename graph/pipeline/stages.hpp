// Which stage of a pipeline computes what of a pass that accumulates (Pass::middle, whole or one rank's share of it).
//
// A cut names the states before whose first reader a stage begins. It is made on the unsharded pass and holds for every
// rank's share of it, whose nodes have other extents but read the same states in the same order. Forward nodes (what
// the sum of the losses depends on) are cut where the cut says; a backward node follows the backward values that it
// reads, then steps back to a stage that has the forward values and states that it reads.
//
// Stage s of S runs as two segments, forward s and backward 2 (S - 1) - s; the last stage's are one, for there a
// backward pass follows its forward pass at once.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "graph/pipeline/cut_graph.hpp"
#include "graph/pipeline/pass_nodes.hpp"
#include "weft/graph.hpp"

namespace weft {

/// The first state of each stage but the first.
using StageCut = std::vector<std::string>;

/// States between the passes of a step begin so.
inline constexpr const char* kAccumulated = "accumulate/";

struct StagedPass {
  int stages = 1;
  SegmentRules rules;  ///< refers to the pass, which must outlive it
  std::vector<SegmentOutput> outputs;
  std::map<std::string, int> homes;  ///< the stage of each state: of its first forward reader, or where it is summed up
};

inline int forward_segment(int stage) { return stage; }
inline int backward_segment(int stage, int stages) { return 2 * (stages - 1) - stage; }
inline int segment_count(int stages) { return 2 * stages - 1; }

/// The stage of each node of a pruned graph that is forward, kWhereRead for others and for those that are cheap. Throws
/// InternalError where the graph does not read the cut's states in their order.
std::vector<int> forward_stages(const Graph& pass, const PassNodes& nodes, const StageCut& cut);

/// `pass` is pruned. Throws InternalError where it does not read the cut's states in their order.
StagedPass place_in_stages(const Graph& pass, const StageCut& cut);

/// What choose_stages knows of a run.
struct StageLimits {
  int ranks = 1, chunks = 1;  ///< stages: ranks * chunks
  int micro_batches = 1;
  std::int64_t bytes = 0;         ///< a rank may hold of states, accumulated gradients and stashed values; 0: no limit
  double state_bytes_factor = 1;  ///< with what the optimiser and accumulation keep, of a parameter's bytes
};

/// The cut whose slowest stage is fastest, by a dynamic programme over the places where a state is first read: work of
/// forward and backward nodes by shapes, and bytes that stages exchange. Throws UserError where the model has too few
/// parameters for so many stages, and where no cut fits the limit, with what the best would need.
StageCut choose_stages(const Graph& pass, const StageLimits& limits);

}  // namespace weft
