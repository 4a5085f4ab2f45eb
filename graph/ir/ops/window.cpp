// Extents of sliding windows, with the checks of their attributes.
#include "graph/ir/ops/window.hpp"

#include <fmt/format.h>

namespace weft::ops {
namespace {

std::int64_t entry(const Attributes& attributes, const char* name, int i) {
  return attributes.integers(name)[static_cast<std::size_t>(i)];
}

WindowAxis axis_of(const Attributes& attributes, std::int64_t input, std::int64_t window, int i) {
  return {input,
          window,
          entry(attributes, "strides", i),
          entry(attributes, "pads_low", i),
          entry(attributes, "pads_high", i),
          entry(attributes, "dilations", i)};
}

/// Bounds that keep the arithmetic of WindowAxis inside 63 bits.
void check_window_attributes(const Check& check, std::size_t count) {
  constexpr std::int64_t kBound = std::int64_t{1} << 30;
  check.dims_of("strides", count, 1, kBound);
  check.dims_of("pads_low", count, -kBound, kBound);
  check.dims_of("pads_high", count, -kBound, kBound);
  check.dims_of("dilations", count, 1, kBound);
}

std::int64_t checked_output(const Check& check, const WindowAxis& axis, int dimension) {
  check.that(axis.window <= (std::int64_t{1} << 30), "the window is too large");
  if (axis.slack() < 0)
    check.fail(
        fmt::format("dimension {}: a window of {} (dilation {}) does not fit an extent of {} padded by {} and {}",
                    dimension, axis.window, axis.dilation, axis.input, axis.low, axis.high));
  return axis.output();
}

}  // namespace

WindowAxis convolution_axis(const Attributes& attributes, const Shape& x, const Shape& w, int i) {
  return axis_of(attributes, x[i + 2], w[i + 2], i);
}

WindowAxis pooling_axis(const Attributes& attributes, const Shape& x, int d) {
  return axis_of(attributes, x[d], entry(attributes, "window", d), d);
}

Shape convolution_shape(const Check& check, const Shape& x, const Shape& w) {
  check.that(x.rank() >= 3, "x must be [N, C, spatial...]");
  check.that(w.rank() == x.rank(), "w must have x's rank: [O, C/groups, spatial...]");
  const std::int64_t groups = check.integer("groups", 1);
  if (x[1] != w[1] * groups)
    check.fail(fmt::format("x has {} channels, w takes {} in each of {} groups", x[1], w[1], groups));
  if (w[0] % groups != 0) check.fail(fmt::format("{} filters do not divide into {} groups", w[0], groups));
  check_window_attributes(check, static_cast<std::size_t>(x.rank() - 2));
  Dims extents = {x[0], w[0]};
  for (int i = 0; i < x.rank() - 2; ++i) {
    check.that(w[i + 2] >= 1, "w has an empty spatial dimension");
    extents.push_back(checked_output(check, convolution_axis(check.node().attributes, x, w, i), i + 2));
  }
  return Shape(std::move(extents));
}

Shape pooling_shape(const Check& check, const Shape& x) {
  const auto rank = static_cast<std::size_t>(x.rank());
  check.dims_of("window", rank, 1, std::int64_t{1} << 30);
  check_window_attributes(check, rank);
  Dims extents;
  for (int d = 0; d < x.rank(); ++d)
    extents.push_back(x[d] == 0 && pooling_axis(check.node().attributes, x, d).window == 1
                          ? 0
                          : checked_output(check, pooling_axis(check.node().attributes, x, d), d));
  return Shape(std::move(extents));
}

}  // namespace weft::ops
