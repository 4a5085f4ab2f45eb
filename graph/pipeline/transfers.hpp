// Scripts from what each rank runs: buffers, slots, and when messages are posted.
#pragma once

#include <vector>

#include "graph/pipeline/cut_graph.hpp"
#include "graph/pipeline/pipeline.hpp"

namespace weft {

/// One run of a segment.
struct SegmentRun {
  int segment = 0;      ///< as crossings count them
  int micro_batch = 0;  ///< 0 in the update
  double work = 1;      ///< about how long it takes, beside the others
};

/// A state that goes from the rank that updates it to another that holds it.
struct StateCopy {
  std::string state;
  int from = 0, to = 0;
};

/// `order`: what each rank runs; `crossings`: between segments of passes (from every micro-batch to itself) and of the
/// update. Actions have the segment and micro-batch of their run; copies are sent after the last of them.
std::vector<RankScript> make_scripts(const std::vector<std::vector<SegmentRun>>& order,
                                     const std::vector<Crossing>& crossings, int micro_batches,
                                     const std::vector<StateCopy>& copies);

/// Throws InternalError where ranks would wait for each other for ever if messages moved only between a posted send and
/// a posted receive, or where a message is received as another.
void check_progress(const std::vector<RankScript>& scripts);

}  // namespace weft
