// Decoding and rounding of narrow element types.
#include "graph/onnx/narrow.hpp"

#include <array>
#include <cmath>
#include <limits>

#include "graph/onnx/op_context.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Special = NarrowType::Special;

// onnx, bits, real, negative, mantissa, lowest exponent, largest, codes of NaN. Numbers of types newer than the message
// classes are written out.
constexpr std::array<NarrowType, 10> kNarrowTypes = {{
    {17, 8, true, true, 3, -6, 448, Special::all_ones},         // FLOAT8E4M3FN
    {18, 8, true, true, 3, -7, 240, Special::minus_zero},       // FLOAT8E4M3FNUZ
    {19, 8, true, true, 2, -14, 57344, Special::ieee},          // FLOAT8E5M2
    {20, 8, true, true, 2, -15, 57344, Special::minus_zero},    // FLOAT8E5M2FNUZ
    {21, 4, false, false},                                      // UINT4
    {22, 4, false, true},                                       // INT4
    {23, 4, true, true, 1, 0, 6, Special::none},                // FLOAT4E2M1
    {24, 8, true, false, 0, -127, 0x1p127, Special::all_ones},  // FLOAT8E8M0
    {25, 2, false, false},                                      // UINT2
    {26, 2, false, true},                                       // INT2
}};
constexpr std::int32_t kPowersOfTwo = 24;

double power_of_two(unsigned code) {
  return code == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, static_cast<int>(code) - 127);
}

double float_of(const NarrowType& type, unsigned code) {
  if (type.onnx == kPowersOfTwo) return power_of_two(code);
  const unsigned sign = code >> (type.bits - 1), magnitude = code & ((1U << (type.bits - 1)) - 1);
  const unsigned exponent = magnitude >> type.mantissa, fraction = magnitude & ((1U << type.mantissa) - 1);
  const unsigned top = (1U << (type.bits - 1 - type.mantissa)) - 1;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (type.special == Special::all_ones && magnitude == (1U << (type.bits - 1)) - 1) return nan;
  if (type.special == Special::minus_zero && sign == 1 && magnitude == 0) return nan;
  double value = std::ldexp(fraction + (exponent > 0 ? 1U << type.mantissa : 0U),
                            type.lowest_exponent - type.mantissa + (exponent > 0 ? static_cast<int>(exponent) - 1 : 0));
  if (type.special == Special::ieee && exponent == top)
    value = fraction == 0 ? std::numeric_limits<double>::infinity() : nan;
  return sign == 1 ? -value : value;
}

int integer_of(const NarrowType& type, unsigned code) {
  const int value = static_cast<int>(code);
  return type.negative && (code >> (type.bits - 1)) != 0 ? value - (1 << type.bits) : value;
}

/// The distance between neighbours where |x| lies, by comparing with every power of two in the type's range.
ValueId spacing(GraphBuilder& b, ValueId magnitude, const NarrowType& type) {
  const int highest = static_cast<int>(std::floor(std::log2(type.largest)));
  ValueId step = b.like(magnitude, std::ldexp(1.0, type.lowest_exponent - type.mantissa));
  for (int e = type.lowest_exponent + 1; e <= highest; ++e) {
    const ValueId above = b.binary(Op::greater_equal, magnitude, b.like(magnitude, std::ldexp(1.0, e)));
    step = b.select(above, b.like(magnitude, std::ldexp(1.0, e - type.mantissa)), step);
  }
  return step;
}

ValueId rounded_float(GraphBuilder& b, ValueId given, const NarrowType& type, bool saturate) {
  if (type.onnx == kPowersOfTwo) throw Unsupported("rounding to FLOAT8E8M0 is not supported");
  const ValueId x = b.cast(given, DType::f32), magnitude = b.unary(Op::abs, x);
  const ValueId step = spacing(b, magnitude, type);
  const ValueId rounded = b.mul(b.unary(Op::round_even, b.div(magnitude, step)), step);
  const ValueId largest = b.like(x, type.largest);
  const double beyond = saturate || type.special == Special::none ? type.largest
                        : type.special == Special::ieee           ? std::numeric_limits<double>::infinity()
                                                                  : std::numeric_limits<double>::quiet_NaN();
  const ValueId kept = b.select(b.binary(Op::greater, rounded, largest), b.like(x, beyond), rounded);
  const ValueId signed_value = b.select(b.binary(Op::less, x, b.like(x, 0)), b.unary(Op::neg, kept), kept);
  // NaN is greater than nothing and comes through; a type without NaN has zero for it.
  return type.special == Special::none ? b.select(b.unary(Op::is_nan, x), b.like(x, 0), signed_value) : signed_value;
}

}  // namespace

const NarrowType* narrow_type(std::int32_t data_type) {
  for (const NarrowType& type : kNarrowTypes)
    if (type.onnx == data_type) return &type;
  return nullptr;
}

DType carrier_of(std::int32_t data_type, const std::string& where) {
  const NarrowType* narrow = narrow_type(data_type);
  return narrow != nullptr ? narrow->carrier() : dtype_of_onnx(data_type, where);
}

Tensor decoded(const NarrowType& type, Shape shape, std::span<const std::byte> packed) {
  Tensor result(type.carrier(), std::move(shape));
  const unsigned mask = (1U << type.bits) - 1;
  const auto each = static_cast<std::int64_t>(8 / type.bits);
  const auto code = [&](std::int64_t i) {
    const auto byte = std::to_integer<unsigned>(packed[static_cast<std::size_t>(i / each)]);
    return byte >> (i % each * type.bits) & mask;
  };
  visit_dtype(result.dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, std::int8_t> || std::is_same_v<T, std::uint8_t>) {
      auto values = result.mutable_values<T>();
      for (std::int64_t i = 0; i < result.elements(); ++i)
        values[static_cast<std::size_t>(i)] =
            type.real ? static_cast<T>(float_of(type, code(i))) : static_cast<T>(integer_of(type, code(i)));
    }
  });
  return result;
}

ValueId narrowed(GraphBuilder& b, ValueId x, const NarrowType& type, bool saturate) {
  if (type.real) return rounded_float(b, x, type, saturate);
  const ValueId whole = b.cast(x, DType::i32);
  const ValueId low = b.binary(Op::bit_and, whole, b.like(whole, (1 << type.bits) - 1));
  if (!type.negative) return b.cast(low, DType::u8);
  const ValueId half = b.like(low, 1 << (type.bits - 1));
  return b.cast(b.sub(b.binary(Op::bit_xor, low, half), half), DType::i8);
}

ValueId clamped_to(GraphBuilder& b, ValueId x, const NarrowType& type) {
  const double low = type.negative ? -(1 << (type.bits - 1)) : 0;
  const double high = low + (1 << type.bits) - 1;
  return b.cast(b.binary(Op::minimum, b.binary(Op::maximum, x, b.like(x, low)), b.like(x, high)), type.carrier());
}

}  // namespace weft::onnx
