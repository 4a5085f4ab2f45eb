// Dead-code elimination.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// `graph` without the nodes whose results nothing reads, those in bodies too. Inputs stay, read or not; so do sends
/// and receives, for a peer waits for them. Layouts are dropped.
Graph pruned(const Graph& graph);

}  // namespace weft
