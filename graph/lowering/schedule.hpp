// Scheduling: the order of units, and where collectives start and are waited for.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// A list scheduler: collectives start as soon as their operands exist, in `sequence` order; what needs no pending
/// collective goes first; among those, what frees memory; then the order of the step graph. Waits stand right before
/// their first reader. Updates that are not in place are copied at the end. A tensor that sums by index go into is made
/// early or late, whichever needs less memory. A late unit (rematerialise.hpp) waits until a reader waits for nothing
/// else.
std::vector<Step> schedule(const LoweredGraph& graph);

/// The order of the step graph as far as dependencies allow it; every collective is waited for where it starts.
std::vector<Step> schedule_as_written(const LoweredGraph& graph);

}  // namespace weft::lowering
