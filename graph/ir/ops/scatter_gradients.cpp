// Gradients of the nd and elementwise forms of gather and scatter, written once over "read" and "write".
#include "graph/ir/ops/scatter.hpp"

namespace weft::ops {
namespace {

/// Reading and writing a tensor of `shape` at a node's indices, elementwise along an axis or by index tuples.
struct IndexedAccess {
  GraphBuilder& b;
  const Attributes& attributes;
  ValueId indices;
  Shape shape;  ///< of the tensor that is indexed
  bool elementwise;

  ValueId read(ValueId from) const {
    if (elementwise) return b.one(Op::gather_elements, {from, indices}, {{"axis", attributes.integer("axis")}});
    return b.one(Op::gather_nd, {from, indices}, {{"batch_dims", std::int64_t{0}}});
  }
  ValueId write(ValueId into, ValueId updates, const char* kind) const {
    if (elementwise)
      return b.one(Op::scatter_elements, {into, indices, updates},
                   {{"axis", attributes.integer("axis")}, {"kind", std::string(kind)}});
    return b.one(Op::scatter_nd, {into, indices, updates}, {{"kind", std::string(kind)}});
  }
  /// What `from` holds at the indices, 0 where an index is outside the range.
  ValueId read_inside(ValueId from) const {
    const ValueId inside = read(b.full(DType::boolean, shape, 1));
    const ValueId values = read(from);
    return b.select(inside, values, b.like(values, 0));
  }
  /// Of updates that meet at one element, the one that stays when each replaces the former.
  ValueId stays(ValueId updates) const {
    const Shape& each = b.shape(updates);
    const ValueId number = b.reshape(b.iota(DType::i64, Shape{each.elements()}, 0), each);
    const ValueId written = write(b.full(DType::i64, shape, -1), number, "replace");
    return b.binary(Op::equal, read(written), number);
  }
};

std::vector<ValueId> replaced(const IndexedAccess& at, ValueId updates, ValueId dy) {
  GraphBuilder& b = at.b;
  const ValueId read = at.read_inside(dy), zero = b.like(updates, 0);
  return {at.write(dy, zero, "replace"), kNone, b.select(at.stays(updates), read, zero)};
}

std::vector<ValueId> multiplied(const IndexedAccess& at, const GradientContext& c) {
  GraphBuilder& b = at.b;
  const ValueId updates = c.operand(2), zero = b.like(updates, 0);
  // y / u is the product of the others; where u is 0, x is (exactly, when no other update meets the same element).
  const ValueId is_zero = b.binary(Op::equal, updates, zero);
  const ValueId others =
      b.div(at.read_inside(b.mul(c.grad(), c.result())), b.select(is_zero, b.like(updates, 1), updates));
  const ValueId alone = at.read_inside(b.mul(c.grad(), c.operand(0)));
  return {at.write(c.grad(), updates, "mul"), kNone, b.select(is_zero, alone, others)};
}

/// Shared evenly between the element and the updates that equal the result.
std::vector<ValueId> extreme(const IndexedAccess& at, const GradientContext& c) {
  GraphBuilder& b = at.b;
  const ValueId x = c.operand(0), updates = c.operand(2), y = c.result();
  const DType type = b.dtype(x);
  const ValueId x_wins = b.binary(Op::equal, x, y), u_wins = b.binary(Op::equal, updates, at.read(y));
  const ValueId winners = at.write(b.cast(x_wins, type), b.cast(u_wins, type), "add");
  const ValueId share = b.div(c.grad(), winners);
  return {b.select(x_wins, share, b.like(x, 0)), kNone, b.select(u_wins, at.read_inside(share), b.like(updates, 0))};
}

std::vector<ValueId> gradient_scatter(const GradientContext& c, bool elementwise) {
  const IndexedAccess at{c.builder, c.node.attributes, c.operand(1), c.builder.shape(c.operand(0)), elementwise};
  const std::string& kind = c.node.attributes.text("kind");
  if (kind == "replace") return replaced(at, c.operand(2), c.grad());
  if (kind == "add") return {c.grad(), kNone, at.read_inside(c.grad())};
  return kind == "mul" ? multiplied(at, c) : extreme(at, c);
}

/// Index tuples with the batch indices written out in front.
ValueId with_batch_indices(GraphBuilder& b, ValueId indices, int batch_dims) {
  if (batch_dims == 0) return indices;
  const Shape one = b.shape(indices).with(b.shape(indices).rank() - 1, 1);
  std::vector<ValueId> parts;
  for (int d = 0; d < batch_dims; ++d) parts.push_back(b.iota(b.dtype(indices), one, d));
  parts.push_back(indices);
  return b.concat(std::move(parts), one.rank() - 1);
}

}  // namespace

std::vector<ValueId> gradient_gather_elements(const GradientContext& c) {
  const IndexedAccess at{c.builder, c.node.attributes, c.operand(1), c.builder.shape(c.operand(0)), true};
  return {at.write(c.builder.like(c.operand(0), 0), c.grad(), "add"), kNone};
}

std::vector<ValueId> gradient_gather_nd(const GradientContext& c) {
  const ValueId indices =
      with_batch_indices(c.builder, c.operand(1), static_cast<int>(c.node.attributes.integer("batch_dims")));
  const IndexedAccess at{c.builder, c.node.attributes, indices, c.builder.shape(c.operand(0)), false};
  return {at.write(c.builder.like(c.operand(0), 0), c.grad(), "add"), kNone};
}

std::vector<ValueId> gradient_scatter_elements(const GradientContext& c) { return gradient_scatter(c, true); }
std::vector<ValueId> gradient_scatter_nd(const GradientContext& c) { return gradient_scatter(c, false); }

}  // namespace weft::ops
