// The arithmetic of sliding windows, shared by convolutions and windowed reductions, their rules and interpreter.
#pragma once

#include "graph/ir/ops/check.hpp"
#include "weft/attributes.hpp"
#include "weft/shape.hpp"

namespace weft::ops {

/// Positions of a window along one dimension: position o covers inputs o * stride - low + k * dilation, 0 <= k <
/// window.
struct WindowAxis {
  std::int64_t input = 1, window = 1, stride = 1, low = 0, high = 0, dilation = 1;

  /// Extent of the padded input less the window, or negative when the window does not fit.
  std::int64_t slack() const { return input + low + high - (window - 1) * dilation - 1; }
  std::int64_t output() const { return slack() / stride + 1; }
};

/// The attributes of a convolution (window extents from `w`'s spatial dimensions) along spatial dimension `i`.
WindowAxis convolution_axis(const Attributes& attributes, const Shape& x, const Shape& w, int i);
/// The attributes of a windowed reduction along dimension `d` of `x`.
WindowAxis pooling_axis(const Attributes& attributes, const Shape& x, int d);

/// The result shape of a convolution of `x` with `w`; checks the attributes.
Shape convolution_shape(const Check& check, const Shape& x, const Shape& w);
/// The result shape of a windowed reduction of `x`; checks the attributes.
Shape pooling_shape(const Check& check, const Shape& x);

}  // namespace weft::ops
