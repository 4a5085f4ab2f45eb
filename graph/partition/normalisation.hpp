// Moments and batch normalisation whose samples lie on several ranks.
#pragma once

#include <vector>

#include "graph/partition/local_graph.hpp"

namespace weft {

/// Each appends the local form of `node` (of the global graph), whose operand x is split along `x.dimension`, and
/// returns its results' local parts.
std::vector<ValueId> append_local_moments(LocalGraph& local, const Node& node, const AxisPlacement& x);
std::vector<ValueId> append_local_batch_norm(LocalGraph& local, const Node& node, const AxisPlacement& x);
std::vector<ValueId> append_local_batch_norm_grad(LocalGraph& local, const Node& node, const AxisPlacement& x);

}  // namespace weft
