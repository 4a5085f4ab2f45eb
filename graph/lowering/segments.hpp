// Recomputation of whole segments: of the forward pass only what lies between segments is kept, and the backward pass
// runs each segment again before it needs what is inside (Chen et al. 2016, arXiv 1604.06174).
#pragma once

#include "weft/graph.hpp"

namespace weft::lowering {

/// The step again, with the forward pass, which ends where most values wait, cut into segments such that what lies
/// between them and the largest segment's inside, the part that the backward pass reads, take the least memory
/// together. The last segment is kept. What the others hold is made again from what lies before them, after the
/// gradient of what they end with (Op::after). The same operators on the same operands: no bit changes. Results of
/// collectives are kept, for nothing is sent twice. A graph in which that saves nothing comes back as it is.
Graph recompute_segments(const Graph& graph);

}  // namespace weft::lowering
