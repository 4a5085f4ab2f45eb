// Reductions, scans and selections along axes.
#include <fmt/format.h>

#include <numeric>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

struct Axes {
  Dims dims;
  bool keep = true;
  bool nothing_to_do = false;  ///< noop_with_empty_axes
};

/// `since`: the opset in which `axes` became an operand.
Axes reduction_axes(OpContext& c, std::int64_t since) {
  Axes axes;
  axes.keep = c.integer("keepdims", 1) != 0;
  const std::optional<Dims> given = c.axes_argument("axes", 1, since);
  if (given && !given->empty()) {
    for (const std::int64_t axis : *given) axes.dims.push_back(normalize_axis(axis, c.rank(0)));
    return axes;
  }
  axes.nothing_to_do = c.integer("noop_with_empty_axes", 0) != 0;
  axes.dims.resize(static_cast<std::size_t>(c.rank(0)));
  std::iota(axes.dims.begin(), axes.dims.end(), 0);
  return axes;
}

enum class Kind { sum, mean, max, min, prod, l1, l2, log_sum, log_sum_exp, sum_square };

ValueId before_sum(GraphBuilder& b, Kind kind, ValueId x) {
  if (kind == Kind::l1) return b.unary(Op::abs, x);
  if (kind == Kind::l2 || kind == Kind::sum_square) return b.mul(x, x);
  return x;
}

ValueId after_sum(GraphBuilder& b, Kind kind, ValueId sum) {
  if (kind == Kind::l2) return b.unary(Op::sqrt, sum);
  if (kind == Kind::log_sum) return b.unary(Op::log, sum);
  return sum;
}

/// log(sum(exp(x))) from the maximum, so that large values do not overflow.
ValueId log_sum_exp(GraphBuilder& b, ValueId x, const Axes& axes) {
  const ValueId top = b.reduce(Op::reduce_max, x, axes.dims, true);
  const ValueId infinite = b.unary(Op::is_inf, top);
  const ValueId shift = b.unary(Op::stop_gradient, b.select(infinite, b.like(top, 0), top));
  const ValueId sum = b.reduce(Op::reduce_sum, b.unary(Op::exp, b.sub(x, shift)), axes.dims, true);
  const ValueId kept = b.add(b.unary(Op::log, sum), shift);
  if (axes.keep) return kept;
  return b.reshape(kept, b.shape(b.reduce(Op::reduce_max, x, axes.dims, false)));
}

template <Kind kind, std::int64_t since>
Values import_reduce(OpContext& c) {
  const Axes axes = reduction_axes(c, since);
  const ValueId x = c.in(0);
  GraphBuilder& b = c.b;
  if (axes.nothing_to_do) {
    // Reducing over no axis still applies the functions around the sum.
    if (kind == Kind::log_sum_exp) return {x};
    return {after_sum(b, kind, before_sum(b, kind, x))};
  }
  switch (kind) {
    case Kind::mean: return {b.mean(x, axes.dims, axes.keep)};
    case Kind::prod: return {b.reduce(Op::reduce_prod, x, axes.dims, axes.keep)};
    case Kind::log_sum_exp: return {log_sum_exp(b, x, axes)};
    case Kind::max:
    case Kind::min: {
      constexpr Op op = kind == Kind::max ? Op::reduce_max : Op::reduce_min;
      if (c.dtype(0) != DType::boolean) return {b.reduce(op, x, axes.dims, axes.keep)};
      return {b.cast(b.reduce(op, b.cast(x, DType::u8), axes.dims, axes.keep), DType::boolean)};
    }
    default:  // squares, and sums under a root or logarithm, may overflow where the result does not
      return {b.cast(after_sum(b, kind, b.reduce(Op::reduce_sum, before_sum(b, kind, b.wide(x)), axes.dims, axes.keep)),
                     c.dtype(0))};
  }
}

template <Op op>
Values import_arg(OpContext& c) {
  const int axis = c.axis(0, c.rank(0));
  const ValueId result =
      c.b.one(op, {c.in(0)}, {{"axis", std::int64_t{axis}}, {"last", c.integer("select_last_index", 0)}});
  if (c.integer("keepdims", 1) == 0) return {result};
  return {c.b.reshape(result, c.shape(0).with(axis, 1))};
}

Values import_hardmax(OpContext& c) {
  const Shape shape = c.shape(0);
  ValueId x = c.in(0);
  int axis;
  if (c.version() >= 13) {
    axis = c.axis(-1, shape.rank());
  } else {  // all dimensions from `axis` on are one
    const int first = c.axis(1, shape.rank());
    std::int64_t rows = 1, columns = 1;
    for (int d = 0; d < shape.rank(); ++d) (d < first ? rows : columns) *= shape[d];
    x = c.b.reshape(x, Shape{rows, columns});
    axis = 1;
  }
  const Shape worked = c.b.shape(x);
  const ValueId top = c.b.one(Op::argmax, {x}, {{"axis", std::int64_t{axis}}, {"last", std::int64_t{0}}});
  const ValueId here =
      c.b.binary(Op::equal, c.b.iota(DType::i64, worked, axis), c.b.reshape(top, worked.with(axis, 1)));
  return {c.b.reshape(c.b.cast(here, c.dtype(0)), shape)};
}

Values import_cumsum(OpContext& c) {
  const int axis = normalize_axis(c.constant_int(1, "the axis"), c.rank(0));
  return {c.b.one(
      Op::cumsum, {c.in(0)},
      {{"axis", std::int64_t{axis}}, {"exclusive", c.integer("exclusive", 0)}, {"reverse", c.integer("reverse", 0)}})};
}

/// Running products in as many rounds as the axis has bits: each multiplies by the product of as many elements before.
Values import_cumprod(OpContext& c) {
  GraphBuilder& b = c.b;
  const int axis = normalize_axis(c.constant_int(1, "the axis"), c.rank(0));
  const auto d = static_cast<std::size_t>(axis);
  const Dims none(static_cast<std::size_t>(c.rank(0)), 0);
  const std::int64_t extent = c.shape(0)[axis];
  const bool backwards = c.integer("reverse", 0) != 0;
  const auto shifted = [&](ValueId x, std::int64_t by) {
    Dims low = none, high = none;
    (backwards ? high : low)[d] = by, (backwards ? low : high)[d] = -by;
    return b.pad(x, b.full(b.dtype(x), Shape{}, 1), low, high, none);
  };
  if (extent == 0) return {c.in(0)};
  ValueId y = c.integer("exclusive", 0) != 0 ? shifted(c.in(0), 1) : c.in(0);
  for (std::int64_t by = 1; by < extent; by *= 2) y = b.mul(y, shifted(y, by));
  return {y};
}

Values import_top_k(OpContext& c) {
  const int axis = c.axis(-1, c.rank(0));
  const std::int64_t k = c.version() >= 10 ? c.constant_int(1, "k") : c.integer("k", 0);
  if (k < 0 || k > c.shape(0)[axis])
    OpContext::unsupported(fmt::format("k is {}, the axis has {} elements", k, c.shape(0)[axis]));
  return c.b.node(Op::top_k, {c.in(0)}, {{"axis", std::int64_t{axis}}, {"k", k}, {"largest", c.integer("largest", 1)}});
}

constexpr OpRow kReductionRows[] = {
    {"ReduceSum", import_reduce<Kind::sum, 13>},
    {"ReduceMean", import_reduce<Kind::mean, 18>},
    {"ReduceMax", import_reduce<Kind::max, 18>},
    {"ReduceMin", import_reduce<Kind::min, 18>},
    {"ReduceProd", import_reduce<Kind::prod, 18>},
    {"ReduceL1", import_reduce<Kind::l1, 18>},
    {"ReduceL2", import_reduce<Kind::l2, 18>},
    {"ReduceLogSum", import_reduce<Kind::log_sum, 18>},
    {"ReduceLogSumExp", import_reduce<Kind::log_sum_exp, 18>},
    {"ReduceSumSquare", import_reduce<Kind::sum_square, 18>},
    {"ArgMax", import_arg<Op::argmax>},
    {"ArgMin", import_arg<Op::argmin>},
    {"Hardmax", import_hardmax},
    {"CumSum", import_cumsum},
    {"CumProd", import_cumprod},
    {"TopK", import_top_k},
};

}  // namespace

std::span<const OpRow> reduction_rows() { return kReductionRows; }

}  // namespace weft::onnx
