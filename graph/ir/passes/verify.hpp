// Verification of graphs: what every pass must leave.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// Graph::verify, and that every value has the type that the operator table infers from its node; likewise in bodies.
/// Throws InternalError naming the node.
void verify_graph(const Graph& graph);

}  // namespace weft
