// Movement that changes extents, and reversal: slice, pad, concat, reverse.
#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_slice(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"start", "limit", "stride"});
  const Shape& shape = check.shape(0);
  const auto rank = static_cast<std::size_t>(shape.rank());
  const Dims start = check.dims_of("start", rank, 0), limit = check.dims_of("limit", rank, 0);
  const Dims stride = check.dims_of("stride", rank, 1, INT64_MAX);
  Dims extents(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    if (start[d] > limit[d] || limit[d] > shape[static_cast<int>(d)])
      check.fail(fmt::format("[{}, {}) is not inside dimension {} of extent {}", start[d], limit[d], d,
                             shape[static_cast<int>(d)]));
    const std::int64_t span = limit[d] - start[d];
    extents[d] = span == 0 ? 0 : (span - 1) / stride[d] + 1;
  }
  return {{check.dtype(0), Shape(std::move(extents))}};
}

std::vector<TensorType> infer_pad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"low", "high", "interior"});
  check.scalar(1, check.dtype(0));
  const Shape& shape = check.shape(0);
  const auto rank = static_cast<std::size_t>(shape.rank());
  const Dims low = check.dims_of("low", rank, -Check::kLargest), high = check.dims_of("high", rank, -Check::kLargest);
  const Dims interior = check.dims_of("interior", rank, 0, std::int64_t{1} << 20);
  Dims extents(rank);
  for (std::size_t d = 0; d < rank; ++d) {
    const std::int64_t extent = shape[static_cast<int>(d)];
    std::int64_t spread = 0;
    if (__builtin_mul_overflow(std::max<std::int64_t>(extent - 1, 0), interior[d], &spread) ||
        __builtin_add_overflow(spread, extent, &spread) ||
        __builtin_add_overflow(spread, low[d] + high[d], &extents[d]))
      check.fail(fmt::format("dimension {} becomes too large", d));
    if (extents[d] < 0) check.fail(fmt::format("dimension {} of extent {} is cropped below nothing", d, extent));
  }
  return {{check.dtype(0), Shape(std::move(extents))}};
}

std::vector<TensorType> infer_concat(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.that(!operands.empty(), "takes at least one operand");
  check.attributes({"axis"});
  const Shape& first = check.shape(0);
  const int axis = check.axis("axis", first.rank());
  std::int64_t extent = 0;
  for (int i = 0; i < static_cast<int>(operands.size()); ++i) {
    check.same_dtype(0, i);
    check.that(check.shape(i).rank() == first.rank(), "operands must have the same rank");
    for (int d = 0; d < first.rank(); ++d)
      if (d != axis && check.shape(i)[d] != first[d])
        check.fail(fmt::format("operands 0 and {} differ in dimension {}", i, d));
    if (__builtin_add_overflow(extent, check.shape(i)[axis], &extent)) check.fail("the result is too large");
  }
  return {{check.dtype(0), first.with(axis, extent)}};
}

std::vector<TensorType> infer_reverse(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"dims"});
  check.axes("dims", check.shape(0).rank());
  return {check.operand(0)};
}

ValueId zero_of(GraphBuilder& b, ValueId v) { return b.full(b.dtype(v), Shape{}, 0); }

/// The gradient goes back between the strides, zeros elsewhere.
std::vector<ValueId> gradient_slice(const GradientContext& c) {
  const Dims &start = c.node.attributes.integers("start"), &stride = c.node.attributes.integers("stride");
  const Shape &from = c.builder.shape(c.operand(0)), &to = c.builder.shape(c.grad());
  Dims high, interior;
  for (int d = 0; d < from.rank(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    const std::int64_t covered = to[d] <= 1 ? to[d] : (to[d] - 1) * stride[i] + 1;
    high.push_back(from[d] - start[i] - covered);
    interior.push_back(to[d] <= 1 ? 0 : stride[i] - 1);  // a single element may have any stride
  }
  return {c.builder.pad(c.grad(), zero_of(c.builder, c.grad()), start, std::move(high), std::move(interior))};
}

/// Crop what was padded (and restore, as zeros, what was cropped), then skip the interior.
std::vector<ValueId> gradient_pad(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const Shape& from = b.shape(c.operand(0));
  Dims low = c.node.attributes.integers("low"), high = c.node.attributes.integers("high");
  Dims stride = c.node.attributes.integers("interior");
  for (std::int64_t& v : low) v = -v;
  for (std::int64_t& v : high) v = -v;
  for (std::int64_t& v : stride) v += 1;
  const Dims none(low.size(), 0);
  const ValueId spread = b.pad(c.grad(), zero_of(b, c.grad()), std::move(low), std::move(high), none);
  const ValueId dx = from.elements() == 0 ? b.like(c.operand(0), 0)
                                          : b.slice(spread, none, b.shape(spread).extents(), std::move(stride));
  if (!c.wanted[1]) return {dx, kNone};
  return {dx, b.sub(b.reduce_all(Op::reduce_sum, c.grad()), b.reduce_all(Op::reduce_sum, dx))};
}

std::vector<ValueId> gradient_concat(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const auto axis = static_cast<std::size_t>(c.node.attributes.integer("axis"));
  std::vector<ValueId> grads;
  Dims start(b.shape(c.grad()).extents().size(), 0);
  for (std::size_t i = 0; i < c.node.inputs.size(); ++i) {
    Dims limit = b.shape(c.grad()).extents();
    limit[axis] = start[axis] + b.shape(c.node.inputs[i])[static_cast<int>(axis)];
    grads.push_back(c.wanted[i] ? b.slice(c.grad(), start, limit, Dims(start.size(), 1)) : kNone);
    start[axis] = limit[axis];
  }
  return grads;
}

std::vector<ValueId> gradient_reverse(const GradientContext& c) {
  return {c.builder.one(Op::reverse, {c.grad()}, c.node.attributes)};
}

}  // namespace

std::vector<OpRules> extent_rules() {
  return {
      {.op = Op::slice, .infer = infer_slice, .gradient = gradient_slice},
      {.op = Op::pad, .infer = infer_pad, .gradient = gradient_pad},
      {.op = Op::concat, .infer = infer_concat, .gradient = gradient_concat},
      {.op = Op::reverse, .infer = infer_reverse, .gradient = gradient_reverse},
  };
}

}  // namespace weft::ops
