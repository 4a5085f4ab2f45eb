// Packing an arena in one sweep over time, for Programs of more buffers than can be compared with each other.
#pragma once

#include "graph/lowering/memory.hpp"

namespace weft::lowering {

/// Each block takes the smallest hole that it fits in among those that are free when it begins, or the top. `bound` is
/// left to the caller. Takes n log n time for n blocks.
Packing pack_by_sweep(const std::vector<Block>& blocks);

}  // namespace weft::lowering
