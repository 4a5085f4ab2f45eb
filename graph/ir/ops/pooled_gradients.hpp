// What may be done to the gradient of a maximum pooling before it is handed out to the wide side, where it is several
// times as large.
#pragma once

#include <optional>

#include "graph/ir/builder.hpp"

namespace weft::ops {

/// `grad` where `x` is positive and zero elsewhere, when `grad` is what a maximum pooling of `x` hands out: masked on
/// the narrow side, by its maxima. An element of x gets the gradients of windows of which it is the maximum.
std::optional<ValueId> masked_before_pooling(GraphBuilder& b, ValueId x, ValueId grad);

/// A value with the same sum over `dims` as `grad`: what a maximum pooling hands out, where each window hands out all
/// it has within these dimensions; else `grad` itself.
ValueId summed_before_pooling(const GraphBuilder& b, ValueId grad, const Dims& dims);

}  // namespace weft::ops
