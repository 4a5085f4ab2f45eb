// Orders along a cut dimension, as constant lists of indices where they differ.
#include "graph/partition/exchanges.hpp"

#include <algorithm>
#include <vector>

namespace weft {
namespace {

bool is_in_order(const AxisPlacement& p) { return p.blocks == 1 && p.is_even(); }

/// For each global index, where it stands among the padded parts of all ranks.
std::vector<std::int64_t> places(const AxisPlacement& p) {
  std::vector<std::int64_t> result;
  const std::int64_t extent = padded_extent(p);
  for (std::int64_t block = 0; block < p.blocks; ++block)
    for (std::size_t rank = 0; rank < p.extents.size(); ++rank)
      for (std::int64_t i = 0; i < p.extents[rank]; ++i)
        result.push_back(static_cast<std::int64_t>(rank) * extent + block * p.extents[rank] + i);
  return result;
}

ValueId picked(GraphBuilder& b, ValueId x, const std::vector<std::int64_t>& indices, int d) {
  const Shape shape{static_cast<std::int64_t>(indices.size())};
  const ValueId list = b.constant(Tensor::from<std::int64_t>(shape, indices));
  return b.one(Op::gather, {x, list}, {{"axis", std::int64_t{d}}});
}

}  // namespace

std::int64_t padded_extent(const AxisPlacement& p) {
  return *std::max_element(p.extents.begin(), p.extents.end()) * p.blocks;
}

ValueId to_front(GraphBuilder& b, ValueId x, int d) {
  if (d == 0) return x;
  Dims order{d};
  for (int i = 0; i < b.shape(x).rank(); ++i)
    if (i != d) order.push_back(i);
  return b.transpose(x, std::move(order));
}

ValueId from_front(GraphBuilder& b, ValueId x, int d) {
  if (d == 0) return x;
  Dims order;
  for (int i = 0; i < b.shape(x).rank(); ++i) order.push_back(i < d ? i + 1 : i == d ? 0 : i);
  return b.transpose(x, std::move(order));
}

ValueId padded(GraphBuilder& b, ValueId part, const AxisPlacement& p) {
  if (p.is_even()) return part;  // on all ranks or on none: what follows is cut alike
  const std::int64_t missing = padded_extent(p) - b.shape(part)[p.dimension];
  Dims none(b.shape(part).extents().size(), 0), high = none;
  high[static_cast<std::size_t>(p.dimension)] = missing;
  return b.pad(part, b.full(b.dtype(part), {}, 0), none, high, none);
}

ValueId in_order(GraphBuilder& b, ValueId parts, const AxisPlacement& p) {
  return is_in_order(p) ? parts : picked(b, parts, places(p), p.dimension);
}

ValueId by_rank(GraphBuilder& b, ValueId whole, const AxisPlacement& p) {
  if (is_in_order(p)) return whole;
  std::vector<std::int64_t> indices(p.extents.size() * static_cast<std::size_t>(padded_extent(p)), 0);
  const std::vector<std::int64_t> to = places(p);
  for (std::size_t i = 0; i < to.size(); ++i) indices[static_cast<std::size_t>(to[i])] = static_cast<std::int64_t>(i);
  return picked(b, whole, indices, p.dimension);
}

}  // namespace weft
