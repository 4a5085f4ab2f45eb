// Windows of convolutions and pools: strides, pads, dilations and `auto_pad`, as ONNX states them.
#pragma once

#include "graph/onnx/op_context.hpp"

namespace weft::onnx {

/// One entry per spatial dimension.
struct Window {
  Dims kernel, strides, pads_low, pads_high, dilations;
  Dims output;  ///< spatial extents of the result of a forward window
};

/// Reads the attributes and resolves `auto_pad` against the operand's spatial extents (dimensions 2 and up).
/// With `ceil_mode` the last window may hang over the end; `overhang` is how far, and is not part of pads_high.
/// Throws Unsupported where the attributes do not fit.
Window window_of(OpContext& c, const Shape& operand, const Dims& kernel, bool ceil_mode, Dims* overhang = nullptr);

/// Only attributes and defaults, without `auto_pad` and `output`: for transposed convolutions.
Window plain_window(OpContext& c, const Dims& kernel);

/// A vector over channels, added to or multiplied with a tensor whose axis 1 they are.
ValueId over_channels(GraphBuilder& b, ValueId vector, const Shape& shape);

}  // namespace weft::onnx
