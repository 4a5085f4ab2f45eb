// Operators that make constants or speak of shapes.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <numbers>

#include "graph/onnx/importer.hpp"
#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

Tensor list_tensor(const Dims& values) {
  return Tensor::from<std::int64_t>(Shape{static_cast<std::int64_t>(values.size())}, values);
}

Values import_shape(OpContext& c) {
  const auto rank = static_cast<std::int64_t>(c.rank(0));
  const auto clamp = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + rank : i, 0, rank); };
  const std::int64_t start = clamp(c.integer("start", 0));
  const std::int64_t end = std::max(start, c.has_attribute("end") ? clamp(c.integer("end", 0)) : rank);
  const Dims& extents = c.shape(0).extents();
  return {c.b.constant(list_tensor(Dims(extents.begin() + start, extents.begin() + end)))};
}

Values import_size(OpContext& c) { return {c.b.constant(Tensor::scalar<std::int64_t>(c.shape(0).elements()))}; }

Values import_constant(OpContext& c) {
  if (auto value = c.tensor("value")) {
    const ValueId id = c.b.constant(std::move(*value));
    for (const auto& attribute : c.node().attribute())
      if (const NarrowType* narrow = narrow_type(attribute.t().data_type()); attribute.has_t() && narrow != nullptr)
        c.importer().note_narrow(id, *narrow);
    return {id};
  }
  if (c.has_attribute("value_int")) return {c.b.constant(Tensor::scalar<std::int64_t>(c.integer("value_int", 0)))};
  if (c.has_attribute("value_float"))
    return {c.b.constant(Tensor::scalar<float>(static_cast<float>(c.number("value_float", 0))))};
  if (c.has_attribute("value_ints")) return {c.b.constant(list_tensor(c.integers("value_ints")))};
  if (c.has_attribute("value_floats")) {
    const std::vector<double> numbers = c.numbers("value_floats");
    const std::vector<float> values(numbers.begin(), numbers.end());
    return {c.b.constant(Tensor::from<float>(Shape{static_cast<std::int64_t>(values.size())}, values))};
  }
  OpContext::unsupported("its value is text or sparse, which Weft's tensors do not hold");
}

Values import_constant_of_shape(OpContext& c) {
  const Shape shape(c.constant_dims(0, "the shape"));
  const Tensor value = c.tensor("value").value_or(Tensor::scalar(0.0F));
  if (value.elements() != 1) OpContext::unsupported("attribute 'value' must have one element");
  const ValueId scalar = c.b.constant(value.reshaped(Shape{}));
  return {c.b.broadcast_to(scalar, shape)};
}

Values import_range(OpContext& c) {
  const Tensor start = c.constant(0, "the start of the range"), limit = c.constant(1, "the limit of the range");
  const Tensor delta = c.constant(2, "the step of the range");
  if (start.elements() != 1 || limit.elements() != 1 || delta.elements() != 1)
    OpContext::unsupported("start, limit and delta must be scalars");
  const double step = delta.as_double(0);
  if (step == 0 || std::isnan(step)) OpContext::unsupported("the step of the range is zero");
  const double count = std::max(0.0, std::ceil((limit.as_double(0) - start.as_double(0)) / step));
  if (!(count <= 1e9)) OpContext::unsupported("the range has more than 10^9 elements");
  const Shape shape{static_cast<std::int64_t>(count)};
  const DType type = start.dtype();
  const ValueId steps = c.b.mul(c.b.iota(type, shape, 0), c.b.broadcast_to(c.b.constant(delta.reshaped({})), shape));
  return {c.b.add(steps, c.b.broadcast_to(c.b.constant(start.reshaped({})), shape))};
}

/// Of each position, column minus row, in the last two dimensions.
ValueId diagonal_distance(GraphBuilder& b, const Shape& shape) {
  const int rank = shape.rank();
  return b.sub(b.iota(DType::i64, shape, rank - 1), b.iota(DType::i64, shape, rank - 2));
}

Values import_eye_like(OpContext& c) {
  if (c.rank(0) != 2) OpContext::unsupported("the operand must be a matrix");
  const DType type = c.has_attribute("dtype")
                         ? dtype_of_onnx(static_cast<std::int32_t>(c.integer("dtype", 0)), "attribute 'dtype'")
                         : c.dtype(0);
  const ValueId distance = diagonal_distance(c.b, c.shape(0));
  const ValueId on = c.b.binary(Op::equal, distance, c.b.like(distance, static_cast<double>(c.integer("k", 0))));
  return {c.b.cast(on, type)};
}

Values import_trilu(OpContext& c) {
  if (c.rank(0) < 2) OpContext::unsupported("the operand must have two dimensions or more");
  // Any |k| beyond the extents selects all or nothing; clamped so that it is exact as a double.
  std::int64_t k = c.has(1) ? c.constant_int(1, "the diagonal k") : 0;
  k = std::clamp<std::int64_t>(k, -(std::int64_t{1} << 50), std::int64_t{1} << 50);
  const ValueId x = c.in(0), distance = diagonal_distance(c.b, c.shape(0));
  const bool upper = c.integer("upper", 1) != 0;
  const ValueId diagonal = c.b.like(distance, static_cast<double>(k));
  const ValueId keep = c.b.binary(upper ? Op::greater_equal : Op::less_equal, distance, diagonal);
  if (c.dtype(0) == DType::boolean) return {c.b.binary(Op::logical_and, keep, x)};
  return {c.b.select(keep, x, c.b.like(x, 0))};
}

Values import_one_hot(OpContext& c) {
  const std::int64_t depth = c.constant_int(1, "the depth");
  if (depth <= 0) OpContext::unsupported(fmt::format("the depth is {}; it must be positive", depth));
  if (c.shape(2).elements() != 2) OpContext::unsupported("values must be [off, on]");
  const int axis = normalize_axis(c.integer("axis", -1), c.rank(0) + 1);
  Dims extents = c.shape(0).extents();
  extents.insert(extents.begin() + axis, depth);
  const Shape shape(extents);
  Dims dims;
  for (int d = 0; d <= c.rank(0); ++d)
    if (d != axis) dims.push_back(d);
  ValueId index = c.b.cast(c.in(0), DType::i64);
  index = c.b.select(c.b.binary(Op::less, index, c.b.like(index, 0)),
                     c.b.add(index, c.b.like(index, static_cast<double>(depth))), index);
  const ValueId here = c.b.binary(Op::equal, c.b.iota(DType::i64, shape, axis), c.b.broadcast_in(index, shape, dims));
  const auto value = [&](std::int64_t i) {
    return c.b.broadcast_to(c.b.reshape(c.b.slice(c.in(2), {i}, {i + 1}, {1}), Shape{}), shape);
  };
  return {c.b.select(here, value(1), value(0))};
}

/// Positions of the elements that are not zero: a constant operand only, for its result's shape is data.
Values import_non_zero(OpContext& c) {
  const Tensor x = c.constant(0, "the operand of NonZero, whose values decide the shape of the result,");
  const Dims strides = x.shape().row_major_strides();
  std::vector<std::int64_t> found;
  for (std::int64_t i = 0; i < x.elements(); ++i)
    if (x.as_double(i) != 0) found.push_back(i);
  const auto rank = static_cast<std::int64_t>(x.shape().rank());
  Tensor positions(DType::i64, Shape{rank, static_cast<std::int64_t>(found.size())});
  auto to = positions.mutable_values<std::int64_t>();
  for (std::int64_t d = 0; d < rank; ++d)
    for (std::size_t i = 0; i < found.size(); ++i)
      to[static_cast<std::size_t>(d) * found.size() + i] =
          found[i] / strides[static_cast<std::size_t>(d)] % x.shape()[static_cast<int>(d)];
  return {c.b.constant(std::move(positions))};
}

/// Window functions of signal processing: a - b cos(2 pi n / N) + c cos(4 pi n / N).
Values cosine_window(OpContext& c, const std::array<double, 3>& k) {
  const std::int64_t size = c.constant_int(0, "the window's size");
  if (size < 1 || size > (1 << 24)) OpContext::unsupported(fmt::format("a window of {} elements", size));
  const auto type = dtype_of_onnx(static_cast<std::int32_t>(c.integer("output_datatype", pb::TensorProto::FLOAT)),
                                  "attribute 'output_datatype'");
  const double period = static_cast<double>(c.integer("periodic", 1) != 0 ? size : size - 1);
  Tensor window(DType::f64, Shape{size});
  auto values = window.mutable_values<double>();
  for (std::int64_t n = 0; n < size; ++n) {
    const double phase = 2 * std::numbers::pi * static_cast<double>(n) / period;
    values[static_cast<std::size_t>(n)] = k[0] - k[1] * std::cos(phase) + k[2] * std::cos(2 * phase);
  }
  return {c.b.constant(window.cast(type))};
}

Values import_hann(OpContext& c) { return cosine_window(c, {0.5, 0.5, 0}); }
Values import_hamming(OpContext& c) { return cosine_window(c, {25.0 / 46, 21.0 / 46, 0}); }
Values import_blackman(OpContext& c) { return cosine_window(c, {0.42, 0.5, 0.08}); }

constexpr OpRow kShapeRows[] = {
    {"Shape", import_shape},           {"Size", import_size},
    {"Constant", import_constant},     {"ConstantOfShape", import_constant_of_shape},
    {"Range", import_range},           {"EyeLike", import_eye_like},
    {"Trilu", import_trilu},           {"OneHot", import_one_hot},
    {"NonZero", import_non_zero},      {"HannWindow", import_hann},
    {"HammingWindow", import_hamming}, {"BlackmanWindow", import_blackman},
};

}  // namespace

std::span<const OpRow> shape_rows() { return kShapeRows; }

}  // namespace weft::onnx
