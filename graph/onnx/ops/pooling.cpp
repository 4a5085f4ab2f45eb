// Pools over windows and over whole channels.
#include <limits>

#include "graph/onnx/ops/table.hpp"
#include "graph/onnx/ops/window.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

/// A spatial window as one over all dimensions, with `extra` more padding behind.
PoolWindow pool_window(const Window& w, const Dims& extra) {
  PoolWindow p{{1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}};
  for (std::size_t d = 0; d < w.kernel.size(); ++d) {
    p.window.push_back(w.kernel[d]);
    p.strides.push_back(w.strides[d]);
    p.pads_low.push_back(w.pads_low[d]);
    p.pads_high.push_back(w.pads_high[d] + extra[d]);
    p.dilations.push_back(w.dilations[d]);
  }
  return p;
}

Window pool_attributes(OpContext& c, Dims* overhang) {
  return window_of(c, c.shape(0), c.integers("kernel_shape"), c.integer("ceil_mode", 0) != 0, overhang);
}

/// Of each window, the flat position (over the whole operand) of its first maximum.
ValueId max_positions(OpContext& c, const Window& w, const Dims& overhang) {
  GraphBuilder& b = c.b;
  const Shape shape = c.shape(0);
  std::int64_t taps = 1;
  for (const std::int64_t k : w.kernel) taps *= k;
  if (taps > 1024) OpContext::unsupported("positions of maxima are supported for windows of up to 1024 elements");
  const ValueId flat = b.iota(DType::i64, Shape{shape.elements()}, 0);
  ValueId position = b.reshape(flat, shape);
  if (c.integer("storage_order", 0) != 0) {  // the spatial dimensions count column-major
    Dims reversed_extents = {shape[0], shape[1]}, perm = {0, 1};
    for (int d = shape.rank() - 1; d >= 2; --d) reversed_extents.push_back(shape[d]), perm.push_back(d);
    position = b.transpose(b.reshape(flat, Shape(reversed_extents)), perm);
  }
  Dims low = {0, 0}, high = {0, 0}, stride = {1, 1};
  for (std::size_t d = 0; d < w.kernel.size(); ++d) {
    low.push_back(w.pads_low[d]), high.push_back(w.pads_high[d] + overhang[d]), stride.push_back(w.strides[d]);
  }
  const Dims none(low.size(), 0);
  const DType type = c.dtype(0);
  const bool real = is_float(type);
  const ValueId x = real ? c.in(0) : b.cast(c.in(0), DType::f64);
  const ValueId lowest = b.full(b.dtype(x), Shape{}, -std::numeric_limits<double>::infinity());
  const ValueId padded = b.pad(x, lowest, low, high, none);
  const ValueId places = b.pad(position, b.full(DType::i64, Shape{}, 0), low, high, none);
  ValueId best = kNone, where = kNone;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    Dims start = {0, 0}, limit = {shape[0], shape[1]};
    std::int64_t rest = tap;
    Dims offsets(w.kernel.size());
    for (std::size_t d = w.kernel.size(); d-- > 0; rest /= w.kernel[d])
      offsets[d] = rest % w.kernel[d] * w.dilations[d];
    for (std::size_t d = 0; d < w.kernel.size(); ++d) {
      start.push_back(offsets[d]);
      limit.push_back(offsets[d] + (w.output[d] - 1) * w.strides[d] + 1);
    }
    const ValueId value = b.slice(padded, start, limit, stride), place = b.slice(places, start, limit, stride);
    if (best == kNone) {
      best = value, where = place;
      continue;
    }
    const ValueId better = b.binary(Op::greater, value, best);
    best = b.select(better, value, best);
    where = b.select(better, place, where);
  }
  return where;
}

Values import_max_pool(OpContext& c) {
  Dims overhang;
  const Window w = pool_attributes(c, &overhang);
  Values results = {c.b.pool(Op::reduce_window_max, c.in(0), pool_window(w, overhang))};
  if (c.wants(1)) results.push_back(max_positions(c, w, overhang));
  return results;
}

/// How many elements each window averages: all of them where nothing hangs over the counted area.
ValueId window_counts(OpContext& c, const Window& w, const Dims& overhang, const Shape& result, bool count_padding) {
  GraphBuilder& b = c.b;
  const DType type = c.dtype(0);
  bool whole = true;
  double elements = 1;
  for (std::size_t d = 0; d < w.kernel.size(); ++d) {
    elements *= static_cast<double>(w.kernel[d]);
    whole = whole && overhang[d] == 0 && (count_padding || (w.pads_low[d] == 0 && w.pads_high[d] == 0));
  }
  if (whole) return b.full(type, result, elements);
  Window counted = w;
  Dims extents = {1, 1};
  for (std::size_t d = 0; d < w.kernel.size(); ++d) {
    extents.push_back(c.shape(0)[static_cast<int>(d) + 2]);
    if (count_padding) {
      extents.back() += w.pads_low[d] + w.pads_high[d];
      counted.pads_low[d] = counted.pads_high[d] = 0;
    }
  }
  const ValueId ones = b.full(type, Shape(extents), 1);
  return b.broadcast_to(b.pool(Op::reduce_window_sum, ones, pool_window(counted, overhang)), result);
}

Values import_average_pool(OpContext& c) {
  Dims overhang;
  const Window w = pool_attributes(c, &overhang);
  const ValueId sum = c.b.pool(Op::reduce_window_sum, c.in(0), pool_window(w, overhang));
  const bool count_padding = c.integer("count_include_pad", 0) != 0;
  return {c.b.div(sum, window_counts(c, w, overhang, c.b.shape(sum), count_padding))};
}

/// (sum |x|^p)^(1/p).
ValueId norm_root(GraphBuilder& b, ValueId sum, double p) {
  if (p == 1) return sum;
  if (p == 2) return b.unary(Op::sqrt, sum);
  return b.binary(Op::pow, sum, b.like(sum, 1 / p));
}

ValueId norm_power(GraphBuilder& b, ValueId x, double p) {
  if (p == 2) return b.mul(x, x);
  const ValueId magnitude = b.unary(Op::abs, x);
  return p == 1 ? magnitude : b.binary(Op::pow, magnitude, b.like(magnitude, p));
}

double norm_order(OpContext& c) {
  const double p = c.version() >= 2 ? static_cast<double>(c.integer("p", 2)) : c.number("p", 2);
  if (!(p > 0)) OpContext::unsupported("p must be positive");
  return p;
}

Values import_lp_pool(OpContext& c) {
  Dims overhang;
  const Window w = pool_attributes(c, &overhang);
  const double p = norm_order(c);
  const ValueId sum = c.b.pool(Op::reduce_window_sum, norm_power(c.b, c.in(0), p), pool_window(w, overhang));
  return {norm_root(c.b, sum, p)};
}

Dims spatial_dims(OpContext& c) {
  if (c.rank(0) < 2) OpContext::unsupported("the operand needs a batch and a channel dimension");
  Dims dims;
  for (int d = 2; d < c.rank(0); ++d) dims.push_back(d);
  return dims;
}

Values import_global_average_pool(OpContext& c) { return {c.b.mean(c.in(0), spatial_dims(c), true)}; }
Values import_global_max_pool(OpContext& c) { return {c.b.reduce(Op::reduce_max, c.in(0), spatial_dims(c), true)}; }
Values import_global_lp_pool(OpContext& c) {
  const double p = norm_order(c);
  return {norm_root(c.b, c.b.reduce(Op::reduce_sum, norm_power(c.b, c.in(0), p), spatial_dims(c), true), p)};
}

constexpr OpRow kPoolingRows[] = {
    {"MaxPool", import_max_pool},
    {"AveragePool", import_average_pool},
    {"LpPool", import_lp_pool},
    {"GlobalAveragePool", import_global_average_pool},
    {"GlobalMaxPool", import_global_max_pool},
    {"GlobalLpPool", import_global_lp_pool},
};

}  // namespace

std::span<const OpRow> pooling_rows() { return kPoolingRows; }

}  // namespace weft::onnx
