// Reverse-mode differentiation: gradients are nodes of the same graph.
#pragma once

#include <vector>

#include "graph/ir/builder.hpp"

namespace weft {

/// Appends to `builder` the gradients of scalar `loss` with respect to each of `wrt` (floating values of the graph) and
/// returns them; zeros where the loss does not depend on one. Throws UserError naming the node where a float path to
/// `wrt` crosses an operator without a gradient.
std::vector<ValueId> gradients(GraphBuilder& builder, ValueId loss, const std::vector<ValueId>& wrt);

}  // namespace weft
