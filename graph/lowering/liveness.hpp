// Live ranges of tensors in a schedule.
#pragma once

#include <algorithm>
#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// The first and last step that touch some memory; a collective touches its operands until its wait.
struct LiveRange {
  int first = -1, last = -1;
  void touch(int step) {
    if (first < 0) first = step;
    last = std::max(last, step);
  }
};

/// Of every tensor that owns its memory, by tensor; fetches that are copied out live to the end, for wherever the copy
/// will stand, it is no later.
std::vector<LiveRange> live_ranges(const LoweredGraph& graph, const std::vector<Step>& steps);

/// The largest sum of arena bytes live at one step, each tensor rounded up to 64 bytes: no packing is lower.
std::int64_t peak_bytes(const LoweredGraph& graph, const std::vector<Step>& steps);

}  // namespace weft::lowering
