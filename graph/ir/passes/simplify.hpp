// Simplification: what every compiled graph goes through before and after it is partitioned and decomposed.
//
// Constant folding, identities that hold bit for bit in floating point, and common-subexpression elimination, in any
// combination; prune.hpp drops what is dead after them. Nothing is reassociated: the result computes the same bits as
// `graph`, NaN payloads aside.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// Which rules a walk over the graph applies.
struct Simplifications {
  bool folding = true;     ///< operators on constants are evaluated
  bool identities = true;  ///< x * 1, a reshape of a reshape, a select whose condition is known, …
  bool merging = true;     ///< equal nodes become one
};

/// One walk forwards, in which every node is simplified when its operands are: with all rules, another walk changes
/// nothing more. Keeps all inputs, read or not, and all outputs, with names and order. Nodes keep their names; of equal
/// nodes the first stays. Collectives are neither merged nor dropped nor reordered: all ranks must make the same calls,
/// and their graphs differ (simplify before partitioning too, and they are). Nodes with bodies are not merged.
/// Constants of one repeated element become broadcast scalars and are never written out again; nothing is folded into
/// more than 4096 elements. Replaced nodes stay, dead. Layouts are dropped.
Graph simplified(const Graph& graph, const Simplifications& rules);

/// The same with all rules, and without dead nodes.
Graph simplify(const Graph& graph);

}  // namespace weft
