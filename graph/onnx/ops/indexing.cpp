// Gathers, and what is made of them.
#include "graph/onnx/ops/indexing.hpp"

#include <fmt/format.h>

#include <optional>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {

ValueId from_start(OpContext& c, int operand, ValueId extents) {
  const ValueId index = c.b.cast(c.in(operand), DType::i64);
  if (const Tensor* known = c.try_constant(operand)) {
    bool negative = false;
    for (std::int64_t i = 0; i < known->elements(); ++i) negative = negative || known->as_int(i) < 0;
    if (!negative) return index;
  }
  const ValueId zero = c.b.like(index, 0);
  return c.b.select(c.b.binary(Op::less, index, zero), c.b.add(index, extents), index);
}

ValueId from_start(OpContext& c, int operand, std::int64_t extent) {
  return from_start(c, operand, c.b.constant(Tensor::scalar<std::int64_t>(extent)));
}

namespace {

using Values = std::vector<ValueId>;

/// Where known indices are one or several neighbours inside [0, extent), the first of them.
std::optional<std::int64_t> first_of_run(const Tensor& indices, std::int64_t extent) {
  if (indices.shape().rank() > 1 || indices.elements() == 0) return std::nullopt;
  const std::int64_t first = indices.as_int(0) + (indices.as_int(0) < 0 ? extent : 0);
  for (std::int64_t i = 1; i < indices.elements(); ++i)
    if (indices.as_int(i) != first + i) return std::nullopt;
  if (first < 0 || first + indices.elements() > extent) return std::nullopt;
  return first;
}

Values import_gather(OpContext& c) {
  const int axis = c.axis(0, c.rank(0));
  const Tensor* known = c.try_constant(1);
  if (const auto first = known != nullptr ? first_of_run(*known, c.shape(0)[axis]) : std::nullopt) {  // a slice
    const auto at = static_cast<std::size_t>(axis);
    Dims start(static_cast<std::size_t>(c.rank(0)), 0), limit = c.shape(0).extents();
    start[at] = *first;
    limit[at] = *first + known->elements();
    const ValueId part = c.b.slice(c.in(0), start, limit, Dims(start.size(), 1));
    if (known->shape().rank() == 1) return {part};
    limit = c.b.shape(part).extents();
    limit.erase(limit.begin() + axis);
    return {c.b.reshape(part, Shape(limit))};
  }
  return {c.b.one(Op::gather, {c.in(0), from_start(c, 1, c.shape(0)[axis])}, {{"axis", std::int64_t{axis}}})};
}

Values import_gather_elements(OpContext& c) {
  const int axis = c.axis(0, c.rank(0));
  return {c.b.one(Op::gather_elements, {c.in(0), from_start(c, 1, c.shape(0)[axis])}, {{"axis", std::int64_t{axis}}})};
}

Values import_gather_nd(OpContext& c) {
  const std::int64_t batch = c.integer("batch_dims", 0);
  const int depth = c.rank(1) > 0 ? static_cast<int>(c.shape(1)[c.rank(1) - 1]) : 0;
  if (batch < 0 || batch + depth > c.rank(0) || batch >= c.rank(1))
    OpContext::unsupported("its indices are deeper than its operand has dimensions");
  std::vector<std::int64_t> extents;
  for (int d = 0; d < depth; ++d) extents.push_back(c.shape(0)[static_cast<int>(batch) + d]);
  const ValueId sizes = c.b.constant(Tensor::from<std::int64_t>(Shape{depth}, extents));
  return {c.b.one(Op::gather_nd, {c.in(0), from_start(c, 1, sizes)}, {{"batch_dims", batch}})};
}

/// Elements where a condition holds: a constant condition only, for the shape of the result is data.
Values import_compress(OpContext& c) {
  const Tensor condition = c.constant(1, "the condition, which decides the shape of the result,");
  ValueId x = c.in(0);
  int axis = 0;
  if (c.has_attribute("axis"))
    axis = c.axis(0, c.rank(0));
  else
    x = c.b.reshape(x, Shape{c.shape(0).elements()});
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < condition.elements() && i < c.b.shape(x)[axis]; ++i)
    if (condition.as_int(i) != 0) chosen.push_back(i);
  const Shape count{static_cast<std::int64_t>(chosen.size())};
  return {c.b.one(Op::gather, {x, c.b.constant(Tensor::from<std::int64_t>(count, chosen))},
                  {{"axis", std::int64_t{axis}}})};
}

/// The first lengths[b] steps of each sequence b, reversed.
Values import_reverse_sequence(OpContext& c) {
  const int time = normalize_axis(c.integer("time_axis", 0), c.rank(0));
  const int batch = normalize_axis(c.integer("batch_axis", 1), c.rank(0));
  if (time == batch) OpContext::unsupported("time_axis and batch_axis are the same");
  const Shape shape = c.shape(0);
  const ValueId step = c.b.iota(DType::i64, shape, time);
  const ValueId length = c.b.broadcast_in(c.b.cast(c.in(1), DType::i64), shape, {batch});
  const ValueId mirrored = c.b.sub(c.b.sub(length, c.b.like(length, 1)), step);
  const ValueId index = c.b.select(c.b.binary(Op::less, step, length), mirrored, step);
  return {c.b.one(Op::gather_elements, {c.in(0), index}, {{"axis", std::int64_t{time}}})};
}

constexpr OpRow kIndexingRows[] = {
    {"Gather", import_gather},     {"GatherElements", import_gather_elements},   {"GatherND", import_gather_nd},
    {"Compress", import_compress}, {"ReverseSequence", import_reverse_sequence},
};

}  // namespace

std::span<const OpRow> indexing_rows() { return kIndexingRows; }

}  // namespace weft::onnx
