// Steps that read or write by index.
#include "tests/fuzz/drawing.hpp"

namespace weft::fuzz {
namespace {

std::string kind(Drawing& d, DType type) {
  if (type == DType::boolean) return "replace";
  return d.dice.pick({"replace", "add", "add", "mul", "max", "min"});
}

/// x.shape[:axis] + indices + x.shape[axis+1:]
Shape spliced(const Shape& x, const Shape& indices, int axis) {
  Dims extents(x.begin(), x.begin() + axis);
  extents.insert(extents.end(), indices.begin(), indices.end());
  extents.insert(extents.end(), x.begin() + axis + 1, x.end());
  return Shape(std::move(extents));
}

Shape small_shape(Drawing& d, int most) {
  Dims extents;
  for (std::int64_t rank = d.dice.roll(0, most); rank > 0; --rank) extents.push_back(d.dice.roll(1, 7));
  return Shape(std::move(extents));
}

void gather(Drawing& d, ValueId x) {
  const int axis = d.axis_of(x);
  const Shape shape = small_shape(d, 2);
  if (spliced(d.b.shape(x), shape, axis).elements() > Drawing::kMostElements) return;
  d.add(d.b.one(Op::gather, {x, d.indices(shape, d.b.shape(x)[axis], true)}, {{"axis", std::int64_t{axis}}}));
}

/// The whole of x as updates of some larger or smaller tensor.
void scatter_add(Drawing& d, ValueId updates) {
  const Shape& from = d.b.shape(updates);
  const int axis = d.axis_of(updates);
  const auto dims = static_cast<int>(d.dice.roll(0, from.rank() - axis));
  const Shape rows(Dims(from.begin() + axis, from.begin() + axis + dims));
  Dims to(from.begin(), from.begin() + axis);
  to.push_back(d.dice.roll(1, 9));
  to.insert(to.end(), from.begin() + axis + dims, from.end());
  const Shape shape(to);
  if (shape.elements() > Drawing::kMostElements || shape.rank() > 5) return;
  d.add(d.b.one(Op::scatter_add, {d.indices(rows, shape[axis], true), updates},
                {{"axis", std::int64_t{axis}}, {"shape", to}}));
}

void elements(Drawing& d, ValueId x) {
  const int axis = d.axis_of(x);
  Dims extents = d.b.shape(x).extents();
  for (std::size_t i = 0; i < extents.size(); ++i)
    if (static_cast<int>(i) == axis)
      extents[i] = d.dice.roll(1, 8);
    else if (d.dice.chance(30))
      extents[i] = d.dice.roll(std::min<std::int64_t>(extents[i], 1), extents[i]);
  const Shape shape(extents);
  const ValueId at = d.indices(shape, d.b.shape(x)[axis], true);
  const Attributes attributes = {{"axis", std::int64_t{axis}}};
  if (d.dice.chance(50)) return d.add(d.b.one(Op::gather_elements, {x, at}, attributes));
  Attributes with_kind = attributes;
  with_kind.set("kind", kind(d, d.b.dtype(x)));
  d.add(d.b.one(Op::scatter_elements, {x, at, d.fresh(d.b.dtype(x), shape)}, with_kind));
}

void tuples(Drawing& d, ValueId x) {
  const Shape shape = d.b.shape(x);
  std::int64_t smallest = 9;
  for (const std::int64_t e : shape) smallest = std::min(smallest, e);
  const bool write = d.dice.chance(50);
  const std::int64_t batch = !write && shape.rank() > 1 && d.dice.chance(30) ? 1 : 0;
  const std::int64_t tuple = d.dice.roll(1, shape.rank() - batch);
  Dims extents;
  if (batch == 1) extents.push_back(shape[0]);
  extents.push_back(d.dice.roll(1, 9));
  Dims result = extents;
  extents.push_back(tuple);
  result.insert(result.end(), shape.begin() + batch + tuple, shape.end());
  if (Shape(result).elements() > Drawing::kMostElements) return;
  const ValueId at = d.indices(Shape(extents), smallest, true);
  if (!write) return d.add(d.b.one(Op::gather_nd, {x, at}, {{"batch_dims", batch}}));
  d.add(d.b.one(Op::scatter_nd, {x, at, d.fresh(d.b.dtype(x), Shape(result))}, {{"kind", kind(d, d.b.dtype(x))}}));
}

}  // namespace

void draw_indexing(Drawing& d) {
  const ValueId x = d.any();
  if (d.b.shape(x).rank() == 0) return;
  switch (d.dice.roll(0, 4)) {
    case 0:
    case 1: return gather(d, x);
    case 2:
      if (d.b.dtype(x) != DType::boolean) scatter_add(d, x);
      return;
    case 3: return elements(d, x);
    default: return tuples(d, x);
  }
}

}  // namespace weft::fuzz
