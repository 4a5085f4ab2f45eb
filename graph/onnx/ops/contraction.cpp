// Matrix products and convolutions.
#include <fmt/format.h>

#include "graph/onnx/ops/table.hpp"
#include "graph/onnx/ops/window.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

Values import_matmul(OpContext& c) { return {c.b.matmul(c.in(0), c.in(1))}; }

ValueId times(GraphBuilder& b, ValueId x, double factor) { return factor == 1 ? x : b.mul(x, b.like(x, factor)); }

Values import_gemm(OpContext& c) {
  if (c.rank(0) != 2 || c.rank(1) != 2) OpContext::unsupported("its operands must be matrices");
  const std::int64_t a_contract = c.integer("transA", 0) != 0 ? 0 : 1;
  const std::int64_t b_contract = c.integer("transB", 0) != 0 ? 1 : 0;
  const ValueId product =
      times(c.b, c.b.dot(c.in(0), c.in(1), {}, {}, {a_contract}, {b_contract}), c.number("alpha", 1));
  const double beta = c.number("beta", 1);
  if (!c.has(2) || beta == 0) return {product};
  return {c.b.add(product, c.b.broadcast_to(times(c.b, c.in(2), beta), c.b.shape(product)))};
}

Dims kernel_of(const Shape& weight) { return Dims(weight.begin() + 2, weight.end()); }

void check_weight(OpContext& c) {
  if (c.rank(0) < 3 || c.rank(1) != c.rank(0))
    OpContext::unsupported(fmt::format("operand {} and weight {} must have the same number of dimensions, 3 or more",
                                       c.shape(0).str(), c.shape(1).str()));
}

ValueId convolution(OpContext& c, ValueId x, ValueId w) {
  const Window window = window_of(c, c.b.shape(x), kernel_of(c.b.shape(w)), false);
  return c.b.conv(x, w, {window.strides, window.pads_low, window.pads_high, window.dilations, c.integer("group", 1)});
}

Values import_conv(OpContext& c) {
  check_weight(c);
  const ValueId y = convolution(c, c.in(0), c.in(1));
  if (!c.has(2)) return {y};
  return {c.b.add(y, over_channels(c.b, c.in(2), c.b.shape(y)))};
}

/// How a transposed convolution pads: by `output_shape` or `auto_pad` when given, else by `pads`.
void resolve_transpose_pads(OpContext& c, Window& w, const Shape& operand) {
  const std::size_t count = w.kernel.size();
  const Dims extra = c.integers("output_padding", Dims(count, 0));
  Dims asked = c.integers("output_shape");
  if (asked.size() == count + 2) asked.erase(asked.begin(), asked.begin() + 2);
  const std::string auto_pad = c.text("auto_pad", "NOTSET");
  if (extra.size() != count || (!asked.empty() && asked.size() != count))
    OpContext::unsupported("output_padding or output_shape do not fit the operand");
  for (std::size_t d = 0; d < count; ++d) {
    const std::int64_t extent = operand[static_cast<int>(d) + 2];
    const std::int64_t natural = (extent - 1) * w.strides[d] + (w.kernel[d] - 1) * w.dilations[d] + 1 + extra[d];
    if (asked.empty() && auto_pad != "SAME_UPPER" && auto_pad != "SAME_LOWER") {
      w.output.push_back(natural - w.pads_low[d] - w.pads_high[d]);
      continue;
    }
    w.output.push_back(asked.empty() ? extent * w.strides[d] : asked[d]);
    const std::int64_t total = std::max<std::int64_t>(0, natural - w.output[d]);
    w.pads_low[d] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
    w.pads_high[d] = total - w.pads_low[d];
  }
}

Values import_conv_transpose(OpContext& c) {
  check_weight(c);
  Window w = plain_window(c, kernel_of(c.shape(1)));
  resolve_transpose_pads(c, w, c.shape(0));
  const std::int64_t groups = c.integer("group", 1);
  if (groups < 1) OpContext::unsupported("group must be positive");
  // The adjoint is taken to the whole unpadded extent; pads then crop, and what is missing at the end is zero.
  Dims whole = {c.shape(0)[0], c.shape(1)[1] * groups}, low = {0, 0}, high = {0, 0};
  bool direct = true;
  for (std::size_t d = 0; d < w.kernel.size(); ++d) {
    const std::int64_t extent = c.shape(0)[static_cast<int>(d) + 2], span = (w.kernel[d] - 1) * w.dilations[d] + 1;
    const std::int64_t room = w.output[d] + w.pads_low[d] + w.pads_high[d] - span;
    direct = direct && room >= 0 && room / w.strides[d] + 1 == extent;
    whole.push_back((extent - 1) * w.strides[d] + span);
    low.push_back(-w.pads_low[d]);
    high.push_back(w.output[d] - whole.back() + w.pads_low[d]);
  }
  const Dims zeros(w.kernel.size(), 0);
  Dims shape = {whole[0], whole[1]};
  shape.insert(shape.end(), w.output.begin(), w.output.end());
  ValueId y = c.b.one(Op::conv_data_grad, {c.in(0), c.in(1)},
                      {{"strides", w.strides},
                       {"pads_low", direct ? w.pads_low : zeros},
                       {"pads_high", direct ? w.pads_high : zeros},
                       {"dilations", w.dilations},
                       {"groups", groups},
                       {"input_shape", direct ? shape : whole}});
  if (!direct) y = c.b.pad(y, c.b.full(c.dtype(0), Shape{}, 0), low, high, Dims(low.size(), 0));
  if (c.has(2)) y = c.b.add(y, over_channels(c.b, c.in(2), c.b.shape(y)));
  return {y};
}

/// An integer operand minus its zero point, in i32. `axis` is where a zero point that is a vector lies.
ValueId centred(OpContext& c, int operand, int zero_point, int axis) {
  const ValueId x = c.b.cast(c.in(operand), DType::i32);
  if (!c.has(zero_point)) return x;
  ValueId zero = c.b.cast(c.in(zero_point), DType::i32);
  if (c.b.shape(zero).elements() == 1) return c.b.sub(x, c.b.reshape(zero, Shape{}));
  if (c.b.shape(zero).rank() == 1) {
    Dims extents(static_cast<std::size_t>(c.rank(operand)), 1);
    extents[static_cast<std::size_t>(axis)] = c.b.shape(zero)[0];
    zero = c.b.reshape(zero, Shape(extents));
  }
  return c.b.sub(x, zero);
}

ValueId integer_product(OpContext& c, ValueId x, ValueId y) {
  // Products of 8-bit integers and their sums are exact in f64 up to 2^53.
  return c.b.cast(c.b.matmul(c.b.cast(x, DType::f64), c.b.cast(y, DType::f64)), DType::i32);
}

ValueId integer_convolution(OpContext& c, ValueId x, ValueId w) {
  return c.b.cast(convolution(c, c.b.cast(x, DType::f64), c.b.cast(w, DType::f64)), DType::i32);
}

Values import_matmul_integer(OpContext& c) {
  return {integer_product(c, centred(c, 0, 2, std::max(0, c.rank(0) - 2)), centred(c, 1, 3, c.rank(1) - 1))};
}

Values import_conv_integer(OpContext& c) {
  check_weight(c);
  return {integer_convolution(c, centred(c, 0, 2, 1), centred(c, 1, 3, 0))};
}

ValueId scalar(OpContext& c, int operand, DType type) {
  if (c.shape(operand).elements() != 1) OpContext::unsupported("per-channel scales of this operator are not supported");
  return c.b.cast(c.b.reshape(c.in(operand), Shape{}), type);
}

/// round(x * factor) + zero point, saturated to the zero point's type.
ValueId requantized(OpContext& c, ValueId x, ValueId factor, int zero_point) {
  const DType type = c.dtype(zero_point);
  const ValueId wide = c.b.cast(x, DType::f64);
  const ValueId rounded = c.b.unary(Op::round_even, c.b.mul(wide, factor));
  // Casts of floats to integers saturate.
  return c.b.cast(c.b.add(rounded, scalar(c, zero_point, DType::f64)), type);
}

ValueId requantize_factor(OpContext& c) {
  return c.b.div(c.b.mul(scalar(c, 1, DType::f64), scalar(c, 4, DType::f64)), scalar(c, 6, DType::f64));
}

Values import_qlinear_matmul(OpContext& c) {
  const ValueId product =
      integer_product(c, centred(c, 0, 2, std::max(0, c.rank(0) - 2)), centred(c, 3, 5, c.rank(3) - 1));
  return {requantized(c, product, requantize_factor(c), 7)};
}

Values import_qlinear_conv(OpContext& c) {
  ValueId sum = integer_convolution(c, centred(c, 0, 2, 1), centred(c, 3, 5, 0));
  if (c.has(8)) sum = c.b.add(sum, over_channels(c.b, c.in(8), c.b.shape(sum)));
  ValueId factor;
  if (c.shape(4).elements() == 1) {
    factor = requantize_factor(c);
  } else {
    const ValueId weights = c.b.cast(c.in(4), DType::f64);
    factor = c.b.div(c.b.mul(weights, scalar(c, 1, DType::f64)), scalar(c, 6, DType::f64));
    factor = over_channels(c.b, factor, c.b.shape(sum));
  }
  return {requantized(c, sum, factor, 7)};
}

constexpr OpRow kContractionRows[] = {
    {"MatMul", import_matmul},
    {"Gemm", import_gemm},
    {"Conv", import_conv},
    {"ConvTranspose", import_conv_transpose},
    {"MatMulInteger", import_matmul_integer},
    {"ConvInteger", import_conv_integer},
    {"QLinearMatMul", import_qlinear_matmul},
    {"QLinearConv", import_qlinear_conv},
};

}  // namespace

std::span<const OpRow> contraction_rows() { return kContractionRows; }

}  // namespace weft::onnx
