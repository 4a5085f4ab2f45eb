// Resize and Upsample: each axis is a gather (nearest) or a product with a constant matrix of weights (linear, cubic).
// Coordinates and weights are those of the ONNX operator reference.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

/// How one axis is resampled.
struct Axis {
  int axis = 0;
  std::int64_t from = 1, to = 1;
  double scale = 1, roi_start = 0, roi_end = 1;
};

struct Style {
  std::string mode, coordinates, rounding;
  double cubic_a = -0.75, outside_value = 0;
  bool antialias = false, exclude_outside = false;
};

/// Where output position `i` lies on the input's axis.
double source_position(const Axis& a, std::int64_t i, const Style& style) {
  const auto x = static_cast<double>(i), from = static_cast<double>(a.from), to = a.scale * from;
  const std::string& how = style.coordinates;
  if (how == "asymmetric") return x / a.scale;
  if (how == "align_corners") return to == 1 ? 0 : x * (from - 1) / (to - 1);
  if (how == "half_pixel") return (x + 0.5) / a.scale - 0.5;
  if (how == "pytorch_half_pixel") return a.to == 1 ? -0.5 : (x + 0.5) / a.scale - 0.5;
  if (how == "tf_half_pixel_for_nn") return (x + 0.5) / a.scale;
  if (how == "half_pixel_symmetric") {
    const double adjustment = static_cast<double>(a.to) / to;
    return from / 2 * (1 - adjustment) + (x + 0.5) / a.scale - 0.5;
  }
  if (how == "tf_crop_and_resize") {
    const double width = a.roi_end - a.roi_start;
    const double within = a.to == 1 ? width * (from - 1) / 2 : x * width * (from - 1) / (to - 1);
    return within + a.roi_start * (from - 1);
  }
  OpContext::unsupported("unknown coordinate_transformation_mode '" + how + "'");
}

std::int64_t nearest(double position, const std::string& rounding) {
  if (rounding == "floor") return static_cast<std::int64_t>(std::floor(position));
  if (rounding == "ceil") return static_cast<std::int64_t>(std::ceil(position));
  if (rounding == "round_prefer_floor") return static_cast<std::int64_t>(std::ceil(position - 0.5));
  if (rounding == "round_prefer_ceil") return static_cast<std::int64_t>(std::floor(position + 0.5));
  OpContext::unsupported("unknown nearest_mode '" + rounding + "'");
}

double triangle(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

/// Keys' cubic convolution kernel.
double cubic(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}

/// The row of weights that makes one output element from the axis.
std::vector<double> weights_at(const Axis& a, double position, const Style& style) {
  std::vector<double> row(static_cast<std::size_t>(a.from), 0);
  // The pixel to the left is preferred: the fraction lies in (0, 1].
  const auto left = static_cast<std::int64_t>(std::ceil(position)) - 1;
  const double fraction = position - static_cast<double>(left);
  const double shrink = style.antialias ? std::min(a.scale, 1.0) : 1.0;
  const double reach = style.mode == "linear" ? 1 : 2;
  const auto first = static_cast<std::int64_t>(std::floor(-reach / shrink)) + 1, last = 1 - first;
  if (last - first > (1 << 20)) OpContext::unsupported("the antialiasing window is above 2^20 elements");
  double total = 0;
  for (std::int64_t k = first; k <= last; ++k) {
    const double distance = (static_cast<double>(k) - fraction) * shrink;
    const double weight = style.mode == "linear" ? triangle(distance) : cubic(distance, style.cubic_a);
    const bool outside = left + k < 0 || left + k >= a.from;
    if (outside && style.exclude_outside) continue;
    row[static_cast<std::size_t>(std::clamp<std::int64_t>(left + k, 0, a.from - 1))] += weight;
    total += weight;
  }
  if ((style.antialias || style.exclude_outside) && total != 0)
    for (double& weight : row) weight /= total;
  return row;
}

bool is_outside(const Axis& a, double position, const Style& style) {
  return style.coordinates == "tf_crop_and_resize" && (position < 0 || position > static_cast<double>(a.from - 1));
}

/// Output positions outside of the input show a given value.
ValueId with_outside(OpContext& c, ValueId y, const Axis& a, const Style& style) {
  Tensor mask(DType::boolean, Shape{a.to});
  bool any = false;
  for (std::int64_t i = 0; i < a.to; ++i) {
    const bool outside = is_outside(a, source_position(a, i, style), style);
    mask.mutable_values<bool>()[static_cast<std::size_t>(i)] = outside;
    any = any || outside;
  }
  if (!any) return y;
  const ValueId spread = c.b.broadcast_in(c.b.constant(mask), c.b.shape(y), {a.axis});
  return c.b.select(spread, c.b.like(y, style.outside_value), y);
}

ValueId resample(OpContext& c, ValueId x, const Axis& a, const Style& style) {
  GraphBuilder& b = c.b;
  if (style.mode == "nearest") {
    std::vector<std::int64_t> indices;
    for (std::int64_t i = 0; i < a.to; ++i)
      indices.push_back(std::clamp<std::int64_t>(nearest(source_position(a, i, style), style.rounding), 0, a.from - 1));
    const ValueId index = b.constant(Tensor::from<std::int64_t>(Shape{a.to}, indices));
    return with_outside(c, b.one(Op::gather, {x, index}, {{"axis", std::int64_t{a.axis}}}), a, style);
  }
  Tensor matrix(DType::f64, Shape{a.to, a.from});
  for (std::int64_t i = 0; i < a.to; ++i) {
    const std::vector<double> row = weights_at(a, source_position(a, i, style), style);
    std::copy(row.begin(), row.end(), matrix.mutable_values<double>().begin() + i * a.from);
  }
  const ValueId weights = b.constant(matrix.cast(b.dtype(x)));
  const int rank = b.shape(x).rank();
  const ValueId product = b.dot(x, weights, {}, {}, {a.axis}, {1});  // the new axis is last
  Dims order;
  for (int d = 0; d < rank; ++d) order.push_back(d < a.axis ? d : d == a.axis ? rank - 1 : d - 1);
  return with_outside(c, b.transpose(product, order), a, style);
}

std::vector<double> numbers_of(const Tensor& tensor) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < tensor.elements(); ++i) values.push_back(tensor.as_double(i));
  return values;
}

constexpr std::int64_t kLargest = std::int64_t{1} << 24;

void check_axis(const Axis& a) {
  if (!(a.scale > 0) || a.from < 1 || a.to < 1 || a.to > kLargest || a.from * a.to > (std::int64_t{1} << 28))
    OpContext::unsupported(fmt::format("axis {} of extent {} cannot be resized to {}", a.axis, a.from, a.to));
}

Axis scaled_axis(OpContext& c, int axis, double scale) {
  Axis a;
  a.axis = axis, a.from = c.shape(0)[axis], a.scale = scale;
  const double to = std::floor(static_cast<double>(a.from) * scale);
  a.to = to >= 1 && to <= static_cast<double>(kLargest) ? static_cast<std::int64_t>(to) : 0;
  check_axis(a);
  return a;
}

/// The scales that make an operand the asked sizes; aspect-ratio policies take one scale for all.
std::vector<Axis> axes_for_sizes(OpContext& c, const Dims& axes, const Dims& sizes) {
  const std::string policy = c.text("keep_aspect_ratio_policy", "stretch");
  double common = 0;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double scale = static_cast<double>(sizes[i]) / static_cast<double>(c.shape(0)[static_cast<int>(axes[i])]);
    common = i == 0 ? scale : policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
  }
  std::vector<Axis> result;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    Axis a;
    a.axis = static_cast<int>(axes[i]), a.from = c.shape(0)[a.axis], a.to = sizes[i];
    a.scale = static_cast<double>(a.to) / static_cast<double>(a.from);
    if (policy != "stretch") {
      a.scale = common;
      a.to = static_cast<std::int64_t>(std::floor(std::clamp(common * static_cast<double>(a.from), 0.0, 1e12) + 0.5));
    }
    check_axis(a);
    result.push_back(a);
  }
  return result;
}

std::vector<Axis> resize_axes(OpContext& c) {
  Dims axes = c.integers("axes");
  if (axes.empty())
    for (int d = 0; d < c.rank(0); ++d) axes.push_back(d);
  for (std::int64_t& axis : axes) axis = normalize_axis(axis, c.rank(0));
  const int scales_at = c.version() >= 11 ? 2 : 1;
  std::vector<Axis> result;
  if (c.has(scales_at) && c.shape(scales_at).elements() > 0) {
    const std::vector<double> scales = numbers_of(c.constant(scales_at, "the scales"));
    if (scales.size() != axes.size()) OpContext::unsupported("scales do not fit the axes");
    for (std::size_t i = 0; i < axes.size(); ++i)
      result.push_back(scaled_axis(c, static_cast<int>(axes[i]), scales[i]));
  } else {
    const Dims sizes = c.constant_dims(3, "the sizes");
    if (sizes.size() != axes.size()) OpContext::unsupported("sizes do not fit the axes");
    result = axes_for_sizes(c, axes, sizes);
  }
  if (c.version() < 11 || c.text("coordinate_transformation_mode", "half_pixel") != "tf_crop_and_resize") return result;
  const std::vector<double> roi = numbers_of(c.constant(1, "the region of interest"));
  if (roi.size() != 2 * axes.size()) OpContext::unsupported("roi does not fit the axes");
  for (std::size_t i = 0; i < axes.size(); ++i) result[i].roi_start = roi[i], result[i].roi_end = roi[i + axes.size()];
  return result;
}

ValueId resampled(OpContext& c, const std::vector<Axis>& axes, const Style& style) {
  if (style.mode != "nearest" && style.mode != "linear" && style.mode != "cubic")
    OpContext::unsupported("unknown mode '" + style.mode + "'");
  const DType type = c.dtype(0);
  ValueId x = style.mode == "nearest" || is_float(type) ? c.in(0) : c.b.cast(c.in(0), DType::f32);
  for (const Axis& a : axes) {
    const bool crops = style.coordinates == "tf_crop_and_resize" && (a.roi_start != 0 || a.roi_end != 1);
    if (a.from != a.to || a.scale != 1 || crops) x = resample(c, x, a, style);
  }
  return c.b.cast(x, type);
}

Values import_resize(OpContext& c) {
  Style style;
  style.mode = c.text("mode", "nearest");
  const bool first_form = c.version() < 11;
  style.coordinates = first_form ? "asymmetric" : c.text("coordinate_transformation_mode", "half_pixel");
  style.rounding = first_form ? "floor" : c.text("nearest_mode", "round_prefer_floor");
  style.cubic_a = c.number("cubic_coeff_a", -0.75);
  style.outside_value = c.number("extrapolation_value", 0);
  style.antialias = c.integer("antialias", 0) != 0;
  style.exclude_outside = c.integer("exclude_outside", 0) != 0;
  return {resampled(c, resize_axes(c), style)};
}

Values import_upsample(OpContext& c) {
  const std::vector<double> scales = c.version() >= 9 ? numbers_of(c.constant(1, "the scales")) : c.numbers("scales");
  if (static_cast<int>(scales.size()) != c.rank(0)) OpContext::unsupported("one scale is needed per dimension");
  std::vector<Axis> axes;
  for (int d = 0; d < c.rank(0); ++d) axes.push_back(scaled_axis(c, d, scales[static_cast<std::size_t>(d)]));
  return {resampled(c, axes, {.mode = c.text("mode", "nearest"), .coordinates = "asymmetric", .rounding = "floor"})};
}

constexpr OpRow kResizeRows[] = {
    {"Resize", import_resize, 10},
    {"Upsample", import_upsample, 7, 9},
};

}  // namespace

std::span<const OpRow> resize_rows() { return kResizeRows; }

}  // namespace weft::onnx
