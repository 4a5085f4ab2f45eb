// The rules of simplify.cpp, each for one node at a time; private to it.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "weft/graph.hpp"

namespace weft::simplification {

/// A node about to be added to `graph`, its operands simplified; it has no results yet.
struct Site {
  const Graph& graph;
  const Node& node;
  /// Adds another node, simplified, in its place or under it.
  const std::function<ValueId(Node)>& emit;

  ValueId operand(std::size_t i = 0) const { return node.inputs.at(i); }
  const TensorType& type(std::size_t i = 0) const { return graph.type(operand(i)); }
};

/// The value that the node's only result equals, where the rule sees one.
using Rule = std::optional<ValueId> (*)(const Site& site);

// Constants (fold.cpp). A splat is a scalar constant or the broadcast of one.

/// The one element, as a scalar, of a splat.
std::optional<Tensor> splat_of(const Graph& graph, ValueId v);
/// A constant that repeats one element is a splat.
std::optional<ValueId> recognise_splat(const Site& site);
/// Pointwise operators and movements of splats are splats.
std::optional<ValueId> fold_splats(const Site& site);
/// Operators on small constants are evaluated.
std::optional<ValueId> fold_constants(const Site& site);

// Identities (identities.cpp).

/// x * 1, x + (-0.0), x - 0.0, x / 1, x and true, …
std::optional<ValueId> drop_neutral_operand(const Site& site);
/// Negation and the nots, twice.
std::optional<ValueId> drop_double_inversion(const Site& site);
/// Reshape, transpose or broadcast of the same becomes one.
std::optional<ValueId> compose_movements(const Site& site);
/// Movements and casts that change nothing; reductions over no dimensions.
std::optional<ValueId> drop_identity(const Site& site);
/// A select whose condition is known, or between a value and itself.
std::optional<ValueId> resolve_select(const Site& site);

}  // namespace weft::simplification
