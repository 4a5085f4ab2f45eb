// Accumulation: sums by index that are added to a tensor go straight into it.
#pragma once

#include "weft/graph.hpp"

namespace weft {

/// add(y, scatter_add(indices, updates)) along dimension 0, where nothing else reads the scattered zeros, becomes one
/// scatter_nd onto y, which a device may do in y's own memory: an embedding's gradient, where the weight is tied to
/// that of the logits, is then a few rows instead of another tensor of the vocabulary's size. Each element is rounded
/// once instead of twice. What nobody reads any more stays, dead. Layouts are dropped.
Graph accumulate_in_place(const Graph& graph);

}  // namespace weft
