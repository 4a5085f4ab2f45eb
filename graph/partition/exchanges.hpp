// How a cut dimension is brought to the form that exchanges have: dimension 0, equal parts, rank by rank.
#pragma once

#include "graph/ir/builder.hpp"
#include "weft/mesh.hpp"

namespace weft {

/// The largest part.
std::int64_t padded_extent(const AxisPlacement& p);
/// x with dimension d moved to the front, and back.
ValueId to_front(GraphBuilder& builder, ValueId x, int d);
ValueId from_front(GraphBuilder& builder, ValueId x, int d);
/// A part with its cut dimension padded to `padded_extent`.
ValueId padded(GraphBuilder& builder, ValueId part, const AxisPlacement& p);
/// The whole, from the padded parts one after the other along the cut dimension.
ValueId in_order(GraphBuilder& builder, ValueId parts, const AxisPlacement& p);
/// The inverse: what is padding is anything.
ValueId by_rank(GraphBuilder& builder, ValueId whole, const AxisPlacement& p);

}  // namespace weft
