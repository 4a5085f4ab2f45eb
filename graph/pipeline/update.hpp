// The end of a step, when all passes have been summed up: gradients of all ranks' samples, their norm, updates of
// states, and what the step reports. It is cut by ranks and by levels: what a level reads of another rank was made in a
// level before. The last level updates states, when every rank knows the loss.
#pragma once

#include <map>
#include <string>

#include "graph/pipeline/cut_graph.hpp"
#include "weft/graph.hpp"

namespace weft {

/// Of the pass that ends a step (Pass::last) what comes after its own forward and backward pass: the totals are the
/// states "accumulate/NAME" themselves.
Graph update_of_step(const Graph& last);

struct StagedUpdate {
  int ranks = 1, levels = 1;
  SegmentRules rules;  ///< refers to the graph, which must outlive it
  std::vector<SegmentOutput> outputs;
  /// The rank that computes each state's new value, and others that hold the state get it from it. States that all
  /// ranks compute for themselves (counters) are not listed.
  std::map<std::string, int> updated_by;
  ValueId guard = kNone;  ///< the loss, which the last level of each rank has as its fetch "loss"

  int segment(int level, int rank) const { return level * ranks + rank; }
};

/// `homes`: the rank of each state that passes read or sum up. The optimiser's states are where their parameter is.
StagedUpdate place_update(const Graph& update, int ranks, const std::map<std::string, int>& homes);

}  // namespace weft
