// Reverse-mode differentiation: gradients are nodes of the same graph.
#pragma once

#include <vector>

#include "graph/ir/builder.hpp"

namespace weft {

/// Appends to `builder` the gradients of scalar `loss` with respect to each of `wrt` (floating values of the graph) and
/// returns them; zeros where the loss does not depend on one. Throws UserError naming the node where a float path to
/// `wrt` crosses an operator without a gradient.
std::vector<ValueId> gradients(GraphBuilder& builder, ValueId loss, const std::vector<ValueId>& wrt);

/// The same from several values with a given gradient each: the sum over i of d(values[i])/d(wrt) applied to seeds[i].
std::vector<ValueId> vector_jacobian(GraphBuilder& builder, const std::vector<ValueId>& values,
                                     const std::vector<ValueId>& seeds, const std::vector<ValueId>& wrt);

}  // namespace weft
