// Quantisation to 8- and 16-bit integers and back.
#include <fmt/format.h>

#include "graph/onnx/importer.hpp"
#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

/// A scale or zero point against its operand: a scalar, a vector along `axis`, or blocks along it.
ValueId spread(OpContext& c, ValueId v, const Shape& shape) {
  GraphBuilder& b = c.b;
  const Shape own = b.shape(v);
  if (own.elements() == 1 && own.rank() <= 1) return b.broadcast_to(b.reshape(v, Shape{}), shape);
  const int axis = c.axis(1, shape.rank());
  if (own.rank() == 1) return b.broadcast_in(v, shape, {axis});
  const std::int64_t block = c.integer("block_size", 0);
  if (block <= 0 || own.rank() != shape.rank() || own[axis] * block != shape[axis])
    OpContext::unsupported(
        fmt::format("a scale of shape {} does not fit an operand of shape {}", own.str(), shape.str()));
  Dims wide, dims;
  for (int d = 0; d < own.rank(); ++d) {
    dims.push_back(static_cast<std::int64_t>(wide.size()));
    wide.push_back(own[d]);
    if (d == axis) wide.push_back(block);
  }
  return b.reshape(b.broadcast_in(v, Shape(wide), dims), shape);
}

/// To types of eight bits and fewer: floats round to what they hold, integers saturate.
Values quantized_narrow(OpContext& c, const NarrowType& type) {
  GraphBuilder& b = c.b;
  const Shape shape = c.shape(0);
  ValueId y = b.div(b.cast(c.in(0), DType::f32), spread(c, b.cast(c.in(1), DType::f32), shape));
  if (!type.real) y = b.unary(Op::round_even, y);
  if (c.has(2)) y = b.add(y, spread(c, b.cast(c.in(2), DType::f32), shape));
  y = type.real ? narrowed(b, y, type, c.integer("saturate", 1) != 0) : clamped_to(b, y, type);
  c.importer().note_narrow(y, type);
  return {y};
}

Values import_quantize(OpContext& c) {
  GraphBuilder& b = c.b;
  const Shape shape = c.shape(0);
  const NarrowType* narrow = narrow_type(static_cast<std::int32_t>(c.integer("output_dtype", 0)));
  if (c.has(2)) narrow = c.importer().narrow_of(c.in(2));
  if (narrow != nullptr) return quantized_narrow(c, *narrow);
  DType type = DType::u8;
  if (c.has(2))
    type = c.dtype(2);
  else if (c.integer("output_dtype", 0) != 0)
    type = dtype_of_onnx(static_cast<std::int32_t>(c.integer("output_dtype", 0)), "attribute 'output_dtype'");
  if (!is_integer(type)) OpContext::unsupported(fmt::format("quantising to {} is not supported", name_of(type)));
  const ValueId x = b.cast(c.in(0), DType::f32), scale = spread(c, b.cast(c.in(1), DType::f32), shape);
  ValueId y = b.unary(Op::round_even, b.div(x, scale));
  if (c.has(2)) y = b.add(y, spread(c, b.cast(c.in(2), DType::f32), shape));
  return {b.cast(y, type)};  // saturates
}

Values import_dequantize(OpContext& c) {
  GraphBuilder& b = c.b;
  const DType type = c.dtype(1);
  const Shape shape = c.shape(0);
  ValueId x = b.cast(c.in(0), DType::f32);
  if (c.has(2)) x = b.sub(x, spread(c, b.cast(c.in(2), DType::f32), shape));
  return {b.cast(b.mul(x, spread(c, b.cast(c.in(1), DType::f32), shape)), type)};
}

/// Scale and zero point from the operand's own range, which is widened to hold zero.
Values import_dynamic_quantize(OpContext& c) {
  GraphBuilder& b = c.b;
  const ValueId x = c.in(0), zero = b.full(DType::f32, Shape{}, 0);
  Dims all;
  for (int d = 0; d < c.rank(0); ++d) all.push_back(d);
  const ValueId high = b.binary(Op::maximum, b.reduce(Op::reduce_max, x, all), zero);
  const ValueId low = b.binary(Op::minimum, b.reduce(Op::reduce_min, x, all), zero);
  const ValueId scale = b.div(b.sub(high, low), b.full(DType::f32, Shape{}, 255));
  const ValueId point = b.cast(b.unary(Op::round_even, b.sub(zero, b.div(low, scale))), DType::u8);
  const ValueId steps = b.unary(Op::round_even, b.div(x, b.broadcast_to(scale, c.shape(0))));
  const ValueId shifted = b.add(steps, b.broadcast_to(b.cast(point, DType::f32), c.shape(0)));
  return {b.cast(shifted, DType::u8), scale, point};
}

constexpr OpRow kQuantizeRows[] = {
    {"QuantizeLinear", import_quantize},
    {"DequantizeLinear", import_dequantize},
    {"DynamicQuantizeLinear", import_dynamic_quantize},
};

}  // namespace

std::span<const OpRow> quantize_rows() { return kQuantizeRows; }

}  // namespace weft::onnx
