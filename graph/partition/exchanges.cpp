// Orders along a cut dimension, as constant lists of indices where they differ.
#include "graph/partition/exchanges.hpp"

#include <algorithm>
#include <vector>

namespace weft {
namespace {

/// Whether the padded parts one after the other are the whole, and padding behind it.
bool is_in_order(const AxisPlacement& p) {
  const std::int64_t extent = padded_extent(p);
  return p.blocks == 1 &&
         std::all_of(p.extents.begin(), p.extents.end() - 1, [&](std::int64_t n) { return n == extent; });
}

/// x with `more` zeros behind along dimension d.
ValueId lengthened(GraphBuilder& b, ValueId x, int d, std::int64_t more) {
  Dims none(b.shape(x).extents().size(), 0), high = none;
  high[static_cast<std::size_t>(d)] = more;
  return b.pad(x, b.full(b.dtype(x), {}, 0), none, high, none);
}

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
  return lengthened(b, part, p.dimension, padded_extent(p) - b.shape(part)[p.dimension]);
}

ValueId in_order(GraphBuilder& b, ValueId parts, const AxisPlacement& p) {
  if (!is_in_order(p)) return picked(b, parts, places(p), p.dimension);
  if (p.is_even()) return parts;
  Dims limit = b.shape(parts).extents();
  limit[static_cast<std::size_t>(p.dimension)] = p.block_extent();
  return b.slice(parts, Dims(limit.size(), 0), limit, Dims(limit.size(), 1));
}

ValueId by_rank(GraphBuilder& b, ValueId whole, const AxisPlacement& p) {
  const auto padded_whole = padded_extent(p) * static_cast<std::int64_t>(p.extents.size());
  if (is_in_order(p)) return p.is_even() ? whole : lengthened(b, whole, p.dimension, padded_whole - p.block_extent());
  std::vector<std::int64_t> indices(static_cast<std::size_t>(padded_whole), 0);
  const std::vector<std::int64_t> to = places(p);
  for (std::size_t i = 0; i < to.size(); ++i) indices[static_cast<std::size_t>(to[i])] = static_cast<std::int64_t>(i);
  return picked(b, whole, indices, p.dimension);
}

}  // namespace weft
