// Scheduling: the order of units, where collectives start and are waited for, and which states are updated in place.
#pragma once

#include <string>
#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Orders the units of `graph` and decides state updates: an update's tensor becomes a window of the state's memory
/// where every reader of the old value can come first; otherwise it is copied at the end. A list scheduler: collectives
/// start as soon as their operands exist, in `sequence` order; what needs no pending collective goes first; among
/// those, what frees memory; then the order of the step graph. Waits stand right before their first reader.
/// No state changes before the fetch `guard`, where the graph has it, is made.
std::vector<Step> schedule(LoweredGraph& graph, const std::string& guard);

/// Whether a result may take the memory of an operand of the same element size and layout, as its kernel says.
bool overwrites_operands(const LoweredUnit& unit);

}  // namespace weft::lowering
