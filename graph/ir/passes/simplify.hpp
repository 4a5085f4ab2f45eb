// Simplification: what every compiled graph goes through once, after decomposition.
//
// Constant folding, identities that hold bit for bit in floating point, common-subexpression and dead-code elimination.
// Nothing is reassociated: the result computes the same bits as `graph`, NaN payloads aside.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// Keeps all inputs, read or not, and all outputs, with names and order. Nodes keep their names; of equal nodes the
/// first stays. Collectives are neither merged nor dropped nor reordered: all ranks must make the same calls, and their
/// graphs differ (simplify before partitioning too, and they are). Nodes with bodies are not merged. Constants of one
/// repeated element become broadcast scalars and are never written out again; nothing is folded into more than 4096
/// elements. Simplifying twice changes nothing more. Layouts are dropped.
Graph simplify(const Graph& graph);

}  // namespace weft
