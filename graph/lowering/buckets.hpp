// Buckets: all-reduces that nothing but updates waits for travel together.
#pragma once

#include <cstdint>
#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"

namespace weft::lowering {

/// The collectives of `graph`, those that start together in one bucket, in the order in which they start. All-reduces
/// of equal axes, type and kind on which no other collective depends, or none but gathers and a few numbers, share
/// buckets of at most `bucket_bytes` (a larger single one stays alone). Looks at nothing but the graph, so that ranks
/// of different roles agree, whatever their devices fuse.
std::vector<std::vector<NodeId>> plan_buckets(const Graph& graph, std::int64_t bucket_bytes);

/// Merges the collectives of each bucket: members become windows of one tensor, reduced in place, and producers write
/// straight into it. `sequence` becomes the bucket's number.
LoweredGraph bucket_collectives(LoweredGraph graph, const std::vector<std::vector<NodeId>>& buckets,
                                const KernelOracle& oracle);

}  // namespace weft::lowering
