// Buckets: all-reduces that nothing but updates waits for travel together.
#pragma once

#include <cstdint>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Merges all-reduces of equal axes, type and kind on which no other collective depends into buckets of at most
/// `bucket_bytes` (a larger single one stays alone). Members become windows of one tensor, reduced in place: producers
/// write straight into it. Numbers all collectives: `sequence` is the order in which every rank starts them, and
/// follows the order of the step graph only, so that ranks of different roles agree.
LoweredGraph bucket_collectives(LoweredGraph graph, std::int64_t bucket_bytes, const KernelOracle& oracle);

}  // namespace weft::lowering
