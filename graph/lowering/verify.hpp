// Verification of the forms between graph and Program: what every pass must leave.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"

namespace weft::lowering {

// All throw InternalError naming the unit.

/// Units are nodes of `graph`; every value is made by one unit at most; what a unit reads is an input, a constant or
/// another unit's; bodies are sound and have the types of what they stand for.
void verify_units(const Graph& graph, const std::vector<Unit>& units);

/// Tensors lie inside the memory they are windows of; each is made by one unit at most; kernels get their operands in
/// the types and layouts of their bodies; no unit depends on itself.
void verify_tensors(const LoweredGraph& graph);

/// Every unit runs once, every collective is waited for once; whatever a step reads still holds what was written for
/// it, and collectives in flight are left alone.
void verify_schedule(const LoweredGraph& graph, const std::vector<Step>& steps);

}  // namespace weft::lowering
