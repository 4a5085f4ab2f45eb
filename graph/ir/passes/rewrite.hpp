// The frame of passes that replace nodes one at a time.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "graph/ir/builder.hpp"

namespace weft {

/// What to put in the place of a node: values of the builder's graph, one for each of its results; or nothing, to have
/// it copied. The node's inputs and bodies are already those of the new graph.
using Replacement = std::function<std::optional<std::vector<ValueId>>(GraphBuilder& builder, const Node& node)>;

/// A copy of `graph` with nodes replaced, those in bodies too. Nodes made for a replacement take the node's name.
/// Inputs and outputs keep name, role and order; layouts are dropped (this runs before they are chosen).
Graph rewritten(const Graph& graph, const Replacement& replacement);

/// The same for replacements that remember values of the graph they build: `make` gives one for `graph` and one for
/// each body.
Graph rewritten_with_memory(const Graph& graph, const std::function<Replacement()>& make);

}  // namespace weft
