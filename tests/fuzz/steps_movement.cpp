// Steps that move elements: reshape, transpose, broadcast, slice, pad, concat, reverse.
#include "tests/fuzz/drawing.hpp"

namespace weft::fuzz {
namespace {

/// As many elements under other extents: neighbours merged, or one dimension split.
Shape other_shape(Drawing& d, const Shape& shape) {
  Dims extents = shape.extents();
  if (extents.size() >= 2 && d.dice.chance(60)) {
    const auto at = static_cast<std::size_t>(d.dice.roll(0, std::ssize(extents) - 2));
    extents[at] *= extents[at + 1];
    extents.erase(extents.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  if (d.dice.chance(60) && extents.size() < 5) {
    const auto at = static_cast<std::size_t>(d.dice.roll(0, std::ssize(extents)));
    std::int64_t part = d.dice.pick<std::int64_t>({1, 2, 3, 4, 8});
    if (at == extents.size() || extents[at] % part != 0) part = 1;
    if (at < extents.size()) extents[at] /= part;
    extents.insert(extents.begin() + static_cast<std::ptrdiff_t>(at), part);
  }
  return Shape(std::move(extents));
}

ValueId broadcast(Drawing& d, ValueId x) {
  const Shape& from = d.b.shape(x);
  Dims extents, dims;
  std::int64_t elements = std::max<std::int64_t>(from.elements(), 1);
  const auto stretched = [&](std::int64_t most) {
    const std::int64_t e = elements > 4000 ? 1 : d.dice.roll(1, most);
    elements *= e;
    return e;
  };
  for (int i = 0; i <= from.rank(); ++i) {
    if (from.rank() + std::ssize(extents) - i < 5 && d.dice.chance(35)) extents.push_back(stretched(9));
    if (i == from.rank()) break;
    dims.push_back(std::ssize(extents));
    extents.push_back(from[i] == 1 && d.dice.chance(60) ? stretched(17) : from[i]);
  }
  return d.b.broadcast_in(x, Shape(std::move(extents)), std::move(dims));
}

ValueId slice(Drawing& d, ValueId x) {
  Dims start, limit, stride;
  for (const std::int64_t e : d.b.shape(x)) {
    const bool whole = d.dice.chance(55);
    start.push_back(whole ? 0 : d.dice.roll(0, e));
    limit.push_back(whole ? e : d.dice.roll(start.back(), e));
    if (!whole && start.back() == limit.back() && e > 0 && d.dice.chance(95)) start.back() = 0, limit.back() = e;
    stride.push_back(d.dice.chance(75) ? 1 : d.dice.roll(2, 4));
  }
  return d.b.slice(x, std::move(start), std::move(limit), std::move(stride));
}

ValueId pad(Drawing& d, ValueId x) {
  Dims low, high, interior;
  for (const std::int64_t e : d.b.shape(x)) {
    const bool plain = d.dice.chance(50);
    low.push_back(plain ? 0 : d.dice.roll(e > 2 ? -1 : 0, 2));
    high.push_back(plain ? 0 : d.dice.roll(e > 2 ? -1 : 0, 3));
    interior.push_back(plain || d.dice.chance(70) ? 0 : d.dice.roll(1, 2));
  }
  const ValueId value = d.dice.chance(60) ? d.b.full(d.b.dtype(x), {}, 0) : d.fresh(d.b.dtype(x), {});
  return d.b.pad(x, value, std::move(low), std::move(high), std::move(interior));
}

ValueId concat(Drawing& d, ValueId x) {
  const int axis = d.axis_of(x);
  std::vector<ValueId> parts = {x};
  for (std::int64_t n = d.dice.roll(1, 3); n > 0; --n) {
    const Shape shape = d.dice.chance(50) ? d.b.shape(x) : d.b.shape(x).with(axis, d.dice.roll(0, 5));
    const auto made = d.any_of(d.b.dtype(x), shape);
    parts.push_back(made && d.dice.chance(70) ? *made : d.fresh(d.b.dtype(x), shape));
  }
  std::swap(parts.front(), parts[static_cast<std::size_t>(d.dice.roll(0, std::ssize(parts) - 1))]);
  return d.b.concat(std::move(parts), axis);
}

}  // namespace

void draw_movement(Drawing& d) {
  const ValueId x = d.any();
  const int rank = d.b.shape(x).rank();
  switch (rank == 0 ? 7 : d.dice.roll(0, 9)) {
    case 0:
    case 1: return d.add(d.b.reshape(x, other_shape(d, d.b.shape(x))));
    case 2:
    case 3: return d.add(d.b.transpose(x, d.dice.order(rank)));
    case 4: return d.add(slice(d, x));
    case 5: return d.add(pad(d, x));
    case 6: return d.add(concat(d, x));
    case 7:
    case 8: return d.add(broadcast(d, x));
    default: return d.add(d.b.one(Op::reverse, {x}, {{"dims", d.dice.some(rank, 50)}}));
  }
}

}  // namespace weft::fuzz
