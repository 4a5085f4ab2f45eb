// The norm of all gradients, and clipping as torch.nn.utils does it.
#pragma once

#include <vector>

#include "graph/ir/builder.hpp"

namespace weft {

/// The L2 norm over all elements of all gradients, an f32 scalar (f64 where a gradient is f64).
ValueId global_norm(GraphBuilder& builder, const std::vector<ValueId>& gradients);

/// clip_grad_norm_: every gradient times min(1, max_norm / (norm + 1e-6)).
void clip_by_norm(GraphBuilder& builder, std::vector<ValueId>& gradients, ValueId norm, double max_norm);

/// clip_grad_value_: every element held to [-limit, limit].
void clip_by_value(GraphBuilder& builder, std::vector<ValueId>& gradients, double limit);

/// Bool scalar: neither infinite nor NaN.
ValueId is_finite(GraphBuilder& builder, ValueId scalar);

}  // namespace weft
