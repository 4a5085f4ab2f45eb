// Elementwise arithmetic, comparison, logic and conversion.
#include "graph/onnx/importer.hpp"
#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

template <Op op>
Values import_unary(OpContext& c) {
  return {c.b.unary(op, c.in(0))};
}

/// The second operand as it takes part: before opset 7 broadcasting was asked for by attributes.
ValueId second_operand(OpContext& c) {
  if (c.version() >= 7 || c.integer("broadcast", 0) == 0 || !c.has_attribute("axis")) return c.in(1);
  const int axis = c.axis(0, c.rank(0));
  Dims extents(static_cast<std::size_t>(c.rank(0)), 1);
  if (axis + c.rank(1) > c.rank(0)) OpContext::unsupported("its broadcast axis does not fit the operands");
  for (int d = 0; d < c.rank(1); ++d) extents[static_cast<std::size_t>(axis + d)] = c.shape(1)[d];
  return c.b.reshape(c.in(1), Shape(extents));
}

template <Op op>
Values binary(OpContext& c) {
  return {c.b.binary(op, c.in(0), second_operand(c))};
}

template <Op op>
Values fold_all(OpContext& c) {
  ValueId result = c.in(0);
  for (int i = 1; i < c.size(); ++i) result = c.b.binary(op, result, c.in(i));
  return {result};
}

Values import_mean(OpContext& c) {
  const ValueId sum = fold_all<Op::add>(c).front();
  return {c.b.div(sum, c.b.like(sum, c.size()))};
}

Values import_equal(OpContext& c) {
  if (c.dtype(0) != DType::boolean) return binary<Op::equal>(c);
  return {c.b.unary(Op::logical_not, c.b.binary(Op::logical_xor, c.in(0), second_operand(c)))};
}

Values import_pow(OpContext& c) {
  // The result has the base's type; a mixed power is taken in f64, where every 32-bit operand is exact.
  const DType type = c.dtype(0);
  const ValueId exponent = second_operand(c);
  if (c.b.dtype(exponent) == type && is_float(type)) return {c.b.binary(Op::pow, c.in(0), exponent)};
  if (is_float(type)) return {c.b.binary(Op::pow, c.in(0), c.b.cast(exponent, type))};
  const ValueId wide = c.b.binary(Op::pow, c.b.cast(c.in(0), DType::f64), c.b.cast(exponent, DType::f64));
  return {c.b.cast(wide, type)};
}

Values import_mod(OpContext& c) {
  const ValueId remainder = c.b.binary(Op::rem, c.in(0), c.in(1));  // with the dividend's sign
  if (c.integer("fmod", 0) != 0) return {remainder};
  const DType type = c.b.dtype(remainder);
  if (!is_float(type) && !is_signed_integer(type)) return {remainder};
  const ValueId divisor = c.b.broadcast_to(c.in(1), c.b.shape(remainder));
  const ValueId zero = c.b.like(remainder, 0);
  const ValueId signs_differ =
      c.b.binary(Op::logical_xor, c.b.binary(Op::less, remainder, zero), c.b.binary(Op::less, divisor, zero));
  const ValueId wrong = c.b.binary(Op::logical_and, signs_differ, c.b.binary(Op::not_equal, remainder, zero));
  const ValueId result = c.b.select(wrong, c.b.add(remainder, divisor), remainder);
  if (!is_float(type)) return {result};
  // A remainder of nothing is a zero with the divisor's sign.
  const ValueId signed_zero = c.b.select(c.b.binary(Op::less, divisor, zero), c.b.like(zero, -0.0), zero);
  return {c.b.select(c.b.binary(Op::equal, remainder, zero), signed_zero, result)};
}

Values import_bit_shift(OpContext& c) {
  const std::string direction = c.text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT") OpContext::unsupported("direction must be LEFT or RIGHT");
  return {c.b.binary(direction == "LEFT" ? Op::shift_left : Op::shift_right, c.in(0), c.in(1))};
}

Values import_where(OpContext& c) { return {c.b.select(c.in(0), c.in(1), c.in(2))}; }

Values import_clip(OpContext& c) {
  ValueId x = c.in(0);
  const DType type = c.dtype(0);
  const auto bound = [&](const char* name, int i) -> ValueId {
    if (c.version() >= 11) return c.has(i) ? c.b.reshape(c.in(i), Shape{}) : kNone;
    return c.has_attribute(name) ? c.b.full(type, Shape{}, c.number(name, 0)) : kNone;
  };
  const ValueId low = bound("min", 1), high = bound("max", 2);
  if (low != kNone) x = c.b.binary(Op::maximum, x, low);
  if (high != kNone) x = c.b.binary(Op::minimum, x, high);
  return {x};
}

Values import_is_inf(OpContext& c) {
  const ValueId x = c.in(0), zero = c.b.like(x, 0);
  ValueId result = c.b.unary(Op::is_inf, x);
  if (c.integer("detect_negative", 1) == 0)
    result = c.b.binary(Op::logical_and, result, c.b.binary(Op::greater, x, zero));
  if (c.integer("detect_positive", 1) == 0) result = c.b.binary(Op::logical_and, result, c.b.binary(Op::less, x, zero));
  return {result};
}

DType cast_target(OpContext& c) {
  if (c.version() >= 6) return dtype_of_onnx(static_cast<std::int32_t>(c.integer("to", 0)), "cast to");
  const std::string name = c.text("to", "");
  for (std::int32_t t = 1; t < 17; ++t)
    if (onnx_type_name(t) == name) return dtype_of_onnx(t, "cast to");
  OpContext::unsupported("unknown type '" + name + "'");
}

Values cast_to_narrow(OpContext& c, const NarrowType& type) {
  if (c.importer().narrow_of(c.in(0)) == &type) return {c.in(0)};
  const ValueId y = narrowed(c.b, c.in(0), type, c.integer("saturate", 1) != 0);
  c.importer().note_narrow(y, type);
  return {y};
}

Values import_cast(OpContext& c) {
  const NarrowType* narrow = narrow_type(static_cast<std::int32_t>(c.integer("to", 0)));
  return narrow != nullptr ? cast_to_narrow(c, *narrow) : Values{c.b.cast(c.in(0), cast_target(c))};
}

Values import_cast_like(OpContext& c) {
  const NarrowType* narrow = c.importer().narrow_of(c.in(1));
  return narrow != nullptr ? cast_to_narrow(c, *narrow) : Values{c.b.cast(c.in(0), c.dtype(1))};
}
Values import_identity(OpContext& c) { return {c.any(0)}; }

constexpr OpRow kElementwiseRows[] = {
    {"Abs", import_unary<Op::abs>},
    {"Neg", import_unary<Op::neg>},
    {"Exp", import_unary<Op::exp>},
    {"Log", import_unary<Op::log>},
    {"Sqrt", import_unary<Op::sqrt>},
    {"Reciprocal", import_unary<Op::reciprocal>},
    {"Sin", import_unary<Op::sin>},
    {"Cos", import_unary<Op::cos>},
    {"Tan", import_unary<Op::tan>},
    {"Asin", import_unary<Op::asin>},
    {"Acos", import_unary<Op::acos>},
    {"Atan", import_unary<Op::atan>},
    {"Sinh", import_unary<Op::sinh>},
    {"Cosh", import_unary<Op::cosh>},
    {"Asinh", import_unary<Op::asinh>},
    {"Acosh", import_unary<Op::acosh>},
    {"Atanh", import_unary<Op::atanh>},
    {"Tanh", import_unary<Op::tanh>},
    {"Erf", import_unary<Op::erf>},
    {"Floor", import_unary<Op::floor>},
    {"Ceil", import_unary<Op::ceil>},
    {"Round", import_unary<Op::round_even>},
    {"Sign", import_unary<Op::sign>},
    {"Not", import_unary<Op::logical_not>},
    {"BitwiseNot", import_unary<Op::bit_not>},
    {"IsNaN", import_unary<Op::is_nan>},
    {"IsInf", import_is_inf},
    {"Identity", import_identity, 1, kNewestOpset, "", true},
    {"Add", binary<Op::add>},
    {"Sub", binary<Op::sub>},
    {"Mul", binary<Op::mul>},
    {"Div", binary<Op::div>},
    {"Pow", import_pow},
    {"Mod", import_mod},
    {"And", binary<Op::logical_and>},
    {"Or", binary<Op::logical_or>},
    {"Xor", binary<Op::logical_xor>},
    {"BitwiseAnd", binary<Op::bit_and>},
    {"BitwiseOr", binary<Op::bit_or>},
    {"BitwiseXor", binary<Op::bit_xor>},
    {"BitShift", import_bit_shift},
    {"Equal", import_equal},
    {"Less", binary<Op::less>},
    {"LessOrEqual", binary<Op::less_equal>},
    {"Greater", binary<Op::greater>},
    {"GreaterOrEqual", binary<Op::greater_equal>},
    {"Where", import_where},
    {"Max", fold_all<Op::maximum>},
    {"Min", fold_all<Op::minimum>},
    {"Sum", fold_all<Op::add>},
    {"Mean", import_mean},
    {"Clip", import_clip},
    {"Cast", import_cast},
    {"CastLike", import_cast_like},
};

}  // namespace

std::span<const OpRow> elementwise_rows() { return kElementwiseRows; }

}  // namespace weft::onnx
