// Dead-code elimination.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// `graph` without the nodes whose results nothing reads, those in bodies too. Inputs stay, read or not; so do all
/// collectives, for the peers make the same calls, and what a rank reads of them may depend on its share. Layouts are
/// dropped.
Graph pruned(const Graph& graph);

}  // namespace weft
