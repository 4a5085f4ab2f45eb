// State updates in place.
#pragma once

#include <string>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// An update's tensor becomes a window of the state's own memory where every reader of the old value can come first,
/// which LoweredGraph::order then asks for; other updates are copied at the end. No state changes before the fetch
/// `guard`, where the graph has it, is made.
LoweredGraph update_states_in_place(LoweredGraph graph, const std::string& guard);

/// Whether a result may take the memory of an operand of the same element size and layout, as its kernel says.
bool overwrites_operands(const LoweredUnit& unit);

}  // namespace weft::lowering
