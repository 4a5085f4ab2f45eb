// Activation functions. Formulas are those of the ONNX operator reference.
#include <cmath>

#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

ValueId clamp(GraphBuilder& b, ValueId x, double low, double high) {
  return b.binary(Op::minimum, b.binary(Op::maximum, x, b.like(x, low)), b.like(x, high));
}

ValueId positive(GraphBuilder& b, ValueId x) { return b.binary(Op::greater, x, b.like(x, 0)); }
ValueId scaled(GraphBuilder& b, ValueId x, double factor) { return b.mul(x, b.like(x, factor)); }

template <Op op>
Values activation(OpContext& c) {
  return {c.b.unary(op, c.in(0))};
}

Values import_relu(OpContext& c) {
  if (is_float(c.dtype(0))) return activation<Op::relu>(c);
  return {c.b.binary(Op::maximum, c.in(0), c.b.like(c.in(0), 0))};
}

Values import_leaky_relu(OpContext& c) {
  const ValueId x = c.in(0);
  return {c.b.select(positive(c.b, x), x, scaled(c.b, x, c.number("alpha", 0.01)))};
}

Values import_prelu(OpContext& c) {
  const ValueId x = c.in(0);
  ValueId slope = c.in(1);
  if (c.version() < 7 && c.rank(1) == 1 && c.rank(0) > 1) {  // one slope per channel, which is axis 1
    Dims extents(static_cast<std::size_t>(c.rank(0)), 1);
    extents[1] = c.shape(1)[0];
    slope = c.b.reshape(slope, Shape(extents));
  }
  const ValueId zero = c.b.like(x, 0);
  return {c.b.select(c.b.binary(Op::less, x, zero), c.b.mul(x, slope), x)};
}

/// factor * (x if x > 0 else alpha * (exp(x / width) - 1)).
ValueId exponential_unit(GraphBuilder& b, ValueId x, double factor, double alpha, double width) {
  // expm1 of a large positive x would be infinite, and its product with the select's gradient NaN.
  const ValueId negative = b.binary(Op::minimum, x, b.like(x, 0));
  const ValueId curve = scaled(b, b.unary(Op::expm1, scaled(b, negative, 1 / width)), alpha);
  return scaled(b, b.select(positive(b, x), x, curve), factor);
}

Values import_elu(OpContext& c) { return {exponential_unit(c.b, c.in(0), 1, c.number("alpha", 1), 1)}; }
Values import_selu(OpContext& c) {
  return {exponential_unit(c.b, c.in(0), c.number("gamma", 1.05070102214813232421875),
                           c.number("alpha", 1.67326319217681884765625), 1)};
}
Values import_celu(OpContext& c) {
  const double alpha = c.number("alpha", 1);
  return {exponential_unit(c.b, c.in(0), 1, alpha, alpha)};
}

Values import_thresholded_relu(OpContext& c) {
  const ValueId x = c.in(0);
  return {c.b.select(c.b.binary(Op::greater, x, c.b.like(x, c.number("alpha", 1))), x, c.b.like(x, 0))};
}

ValueId hard_sigmoid(GraphBuilder& b, ValueId x, double alpha, double beta) {
  return clamp(b, b.add(scaled(b, x, alpha), b.like(x, beta)), 0, 1);
}
Values import_hard_sigmoid(OpContext& c) {
  return {hard_sigmoid(c.b, c.in(0), c.number("alpha", 0.2), c.number("beta", 0.5))};
}
Values import_hard_swish(OpContext& c) { return {c.b.mul(c.in(0), hard_sigmoid(c.b, c.in(0), 1.0 / 6, 0.5))}; }

Values import_mish(OpContext& c) { return {c.b.mul(c.in(0), c.b.unary(Op::tanh, c.b.unary(Op::softplus, c.in(0))))}; }

Values import_softsign(OpContext& c) {
  return {c.b.div(c.in(0), c.b.add(c.b.like(c.in(0), 1), c.b.unary(Op::abs, c.in(0))))};
}

Values import_gelu(OpContext& c) {
  return {c.b.one(Op::gelu, {c.in(0)}, {{"approximate", c.text("approximate", "none")}})};
}

Values import_swish(OpContext& c) {
  const double alpha = c.number("alpha", 1);
  if (alpha == 1) return activation<Op::silu>(c);
  return {c.b.mul(c.in(0), c.b.unary(Op::sigmoid, scaled(c.b, c.in(0), alpha)))};
}

Values import_swiglu(OpContext& c) {
  if (c.shape(0) != c.shape(1)) OpContext::unsupported("its operands must have one shape");
  return {c.b.mul(import_swish(c).front(), c.in(1))};
}

Values import_shrink(OpContext& c) {
  const ValueId x = c.in(0), zero = c.b.like(x, 0);
  const double lambda = c.number("lambd", 0.5), bias = c.number("bias", 0);
  const ValueId above =
      c.b.select(c.b.binary(Op::greater, x, c.b.like(x, lambda)), c.b.sub(x, c.b.like(x, bias)), zero);
  return {c.b.select(c.b.binary(Op::less, x, c.b.like(x, -lambda)), c.b.add(x, c.b.like(x, bias)), above)};
}

/// Softmax and its logarithm. Before opset 13 all dimensions from `axis` on are one.
template <Op op>
Values import_softmax(OpContext& c) {
  const ValueId x = c.in(0);
  if (c.version() >= 13) return {c.b.one(op, {x}, {{"axis", std::int64_t{c.axis(-1, c.rank(0))}}})};
  const std::int64_t given = c.integer("axis", 1);
  const int axis = given == c.rank(0) ? c.rank(0) : normalize_axis(given, c.rank(0));
  std::int64_t rows = 1;
  for (int d = 0; d < axis; ++d) rows *= c.shape(0)[d];
  std::int64_t columns = 1;
  for (int d = axis; d < c.rank(0); ++d) columns *= c.shape(0)[d];
  const Shape shape = c.shape(0);
  const ValueId flat = c.b.reshape(x, Shape{rows, columns});
  return {c.b.reshape(c.b.one(op, {flat}, {{"axis", std::int64_t{1}}}), shape)};
}

constexpr OpRow kActivationRows[] = {
    {"Relu", import_relu},
    {"Sigmoid", activation<Op::sigmoid>},
    {"Softplus", activation<Op::softplus>},
    {"LeakyRelu", import_leaky_relu},
    {"PRelu", import_prelu},
    {"Elu", import_elu},
    {"Selu", import_selu, 6},
    {"Celu", import_celu},
    {"ThresholdedRelu", import_thresholded_relu},
    {"HardSigmoid", import_hard_sigmoid},
    {"HardSwish", import_hard_swish},
    {"Mish", import_mish},
    {"Softsign", import_softsign},
    {"Gelu", import_gelu},
    {"Swish", import_swish},
    {"SwiGLU", import_swiglu},
    {"Shrink", import_shrink},
    {"Softmax", import_softmax<Op::softmax>},
    {"LogSoftmax", import_softmax<Op::log_softmax>},
};

}  // namespace

std::span<const OpRow> activation_rows() { return kActivationRows; }

}  // namespace weft::onnx
