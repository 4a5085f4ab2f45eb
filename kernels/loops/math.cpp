// Polynomials are least-maximum fits made for their intervals; arguments are reduced in two parts (Cody and Waite).
#include "kernels/loops/math.hpp"

#include <bit>
#include <limits>

#include "weft/error.hpp"

namespace weft::loops {
namespace {

constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it leaves no place for a fraction

/// f32 expressions with operators.
class Math {
 public:
  explicit Math(Builder& b) : b_(b) {}

  ExprId exp(ExprId x);
  /// Of -87.3 to 88: results are normal.
  ExprId exp_inside(ExprId x);
  ExprId exp2_coarse(ExprId x);
  ExprId expm1(ExprId x);
  ExprId log(ExprId x);
  ExprId log1p(ExprId x);
  ExprId tanh(ExprId x);
  ExprId erf(ExprId x);

 private:
  ExprId c(double value) { return b_.real(value, DType::f32); }
  ExprId add(ExprId x, ExprId y) { return b_.add(x, y); }
  ExprId sub(ExprId x, ExprId y) { return b_.sub(x, y); }
  ExprId mul(ExprId x, ExprId y) { return b_.mul(x, y); }
  ExprId less(ExprId x, ExprId y) { return b_.binary(Op::less, x, y); }
  ExprId bits(ExprId x) { return b_.bitcast(x, DType::i32); }
  ExprId floats(ExprId x) { return b_.bitcast(x, DType::f32); }
  ExprId word(std::int64_t value) { return b_.integer(value, DType::i32); }
  ExprId shift_left(ExprId x, int by) { return b_.binary(Op::shift_left, x, word(by)); }
  ExprId shift_right(ExprId x, int by) { return b_.binary(Op::shift_right, x, word(by)); }
  ExprId with_sign_of(ExprId magnitude, ExprId sign) {
    return floats(
        b_.binary(Op::bit_or, bits(magnitude), b_.binary(Op::bit_and, bits(sign), word(std::int64_t{INT32_MIN}))));
  }
  ExprId polynomial(ExprId x, std::initializer_list<double> coefficients) {
    ExprId r = -1;
    for (const double k : coefficients) r = r < 0 ? c(k) : b_.fma(r, x, c(k));
    return r;
  }
  /// The nearest integer of a small x as f32, and as i32.
  struct Rounded {
    ExprId real, integer;
  };
  Rounded round_small(ExprId x) {
    const ExprId shifted = add(x, c(kMagic));
    return {sub(shifted, c(kMagic)), b_.sub(bits(shifted), word(std::bit_cast<std::int32_t>(kMagic)))};
  }
  /// 2^n for integers n in [-126, 127].
  ExprId power_of_two(ExprId n) { return floats(shift_left(b_.add(n, word(127)), 23)); }
  ExprId exp_polynomial(ExprId r) {  // (exp(r) - 1 - r) / r^2 on |r| <= ln(2) / 2
    return polynomial(r, {0.00138131389, 0.00836941941, 0.0416684569, 0.166665148, 0.499999931});
  }

  Builder& b_;
};

constexpr double kInverseLn2 = 1.44269504, kLn2High = 0.693359375, kLn2Low = -2.12194440e-4;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

ExprId Math::exp(ExprId x) {
  // NaN passes through every step.
  ExprId bounded = b_.select(less(x, c(-104)), c(-104), x);
  bounded = b_.select(less(c(89), bounded), c(89), bounded);
  const Rounded n = round_small(mul(bounded, c(kInverseLn2)));
  const ExprId r = b_.fma(n.real, c(-kLn2Low), b_.fma(n.real, c(-kLn2High), bounded));
  const ExprId y = add(b_.fma(mul(r, r), exp_polynomial(r), r), c(1));
  const ExprId half = shift_right(n.integer, 1);  // two factors: 2^n alone overflows at 128, underflows below -126
  return mul(mul(y, power_of_two(half)), power_of_two(b_.sub(n.integer, half)));
}

ExprId Math::exp_inside(ExprId x) {
  const ExprId shifted = b_.fma(x, c(kInverseLn2), c(kMagic)), n = sub(shifted, c(kMagic));
  const ExprId r = b_.fma(n, c(-kLn2Low), b_.fma(n, c(-kLn2High), x));
  const ExprId y = add(b_.fma(mul(r, r), exp_polynomial(r), r), c(1));
  const ExprId exponent = b_.add(bits(shifted), word(127 - std::bit_cast<std::int32_t>(kMagic)));
  return mul(y, floats(shift_left(exponent, 23)));
}

ExprId Math::exp2_coarse(ExprId x) {
  const ExprId bounded = b_.select(less(x, c(-127)), c(-127), x);  // of which the power's bits are those of 0
  const ExprId shifted = add(bounded, c(kMagic)), f = sub(bounded, sub(shifted, c(kMagic)));
  const ExprId y = polynomial(f, {0.0550089702, 0.242211059, 0.693282962, 1});
  const ExprId exponent = b_.add(bits(shifted), word(127 - std::bit_cast<std::int32_t>(kMagic)));
  return mul(y, floats(shift_left(exponent, 23)));
}

ExprId Math::expm1(ExprId x) {
  const ExprId near = b_.fma(mul(x, x), exp_polynomial(x), x);
  return b_.select(less(b_.unary(Op::abs, x), c(0.34)), near, sub(exp(x), c(1)));
}

ExprId Math::log(ExprId x) {
  const ExprId tiny = less(x, c(1.17549435e-38));
  const ExprId scaled = b_.select(tiny, mul(x, c(8388608)), x);
  // Mantissa in [sqrt(1/2), sqrt(2)).
  const ExprId offset = b_.sub(bits(scaled), word(0x3f3504f3));
  const ExprId e = sub(b_.cast(shift_right(offset, 23), DType::f32), b_.select(tiny, c(23), c(0)));
  const ExprId f = sub(floats(b_.add(b_.binary(Op::bit_and, offset, word(0x007fffff)), word(0x3f3504f3))), c(1));
  const ExprId p = polynomial(f, {0.0674653262, -0.116756235, 0.118881966, -0.124055957, 0.142195483, -0.166679953,
                                  0.200021189, -0.250000096, 0.333333126});
  const ExprId f2 = mul(f, f);
  ExprId y = b_.fma(mul(f2, f), p, mul(e, c(kLn2Low)));
  y = b_.fma(f2, c(-0.5), y);
  y = b_.fma(e, c(kLn2High), add(y, f));
  const ExprId bad =
      b_.select(b_.binary(Op::equal, x, c(0)), c(-kInfinity), c(std::numeric_limits<double>::quiet_NaN()));
  const ExprId result = b_.select(less(c(0), x), y, bad);
  return b_.select(b_.binary(Op::equal, x, c(kInfinity)), x, result);
}

ExprId Math::log1p(ExprId x) {
  const ExprId u = add(x, c(1)), d = sub(u, c(1));
  const ExprId y = mul(log(u), b_.div(x, d));
  const ExprId infinite = b_.binary(Op::equal, u, c(kInfinity));
  return b_.select(b_.binary(Op::equal, d, c(0)), x, b_.select(infinite, u, y));
}

ExprId Math::tanh(ExprId x) {
  const ExprId a = b_.unary(Op::abs, x), z = mul(x, x);
  const ExprId p = polynomial(z, {-0.00566698609, 0.0206061858, -0.0537300104, 0.13331331, -0.333332781});
  const ExprId near = b_.fma(mul(x, z), p, x);
  const ExprId far = with_sign_of(sub(c(1), b_.div(c(2), add(exp(add(a, a)), c(1)))), x);
  return b_.select(less(a, c(0.625)), near, far);
}

ExprId Math::erf(ExprId x) {
  const ExprId a = b_.unary(Op::abs, x), z = mul(x, x);
  const ExprId near = mul(x, polynomial(z, {-9.64180251e-06, 0.000112570558, -0.000848284512, 0.00522094668,
                                            -0.0268654006, 0.11283782, -0.376126384, 1.12837917}));
  const ExprId bounded = b_.select(less(c(4), a), c(4), a);  // erfc(4) is below the last place of 1; NaN passes
  const ExprId log_erfc = polynomial(bounded, {-2.1445721e-05, 0.000438531639, -0.0041908636, 0.0251718283,
                                               -0.108361581, -0.633272389, -1.12955205, 0.000182462537});
  const ExprId far = with_sign_of(sub(c(1), exp_inside(log_erfc)), x);
  return b_.select(less(a, c(0.97)), near, far);
}

ExprId float_unary(Builder& b, Op op, ExprId x, bool approximate) {
  const DType type = b.type(x);
  const auto c = [&](double value) { return b.real(value, type); };
  const bool f32 = type == DType::f32;
  Math m(b);
  const auto function = [&](Op f, ExprId y) {
    if (!f32) return b.unary(f, y);
    switch (f) {
      case Op::exp: return m.exp(y);
      case Op::expm1: return m.expm1(y);
      case Op::log: return m.log(y);
      case Op::log1p: return m.log1p(y);
      case Op::tanh: return m.tanh(y);
      case Op::erf: return m.erf(y);
      default: return b.cast(b.unary(f, b.cast(y, DType::f64)), DType::f32);
    }
  };
  switch (op) {
    case Op::sqrt:
    case Op::floor:
    case Op::ceil:
    case Op::round_even: return b.unary(op, x);
    case Op::rsqrt: return b.div(c(1), b.unary(Op::sqrt, x));
    case Op::reciprocal: return b.div(c(1), x);
    case Op::is_inf: return b.binary(Op::equal, b.unary(Op::abs, x), c(kInfinity));
    case Op::sigmoid: return b.div(c(1), b.add(function(Op::exp, b.unary(Op::neg, x)), c(1)));
    case Op::silu: return b.div(x, b.add(function(Op::exp, b.unary(Op::neg, x)), c(1)));
    case Op::softplus: {
      const ExprId small = function(Op::log1p, function(Op::exp, b.unary(Op::neg, b.unary(Op::abs, x))));
      return b.add(b.select(b.binary(Op::less, x, c(0)), c(0), x), small);
    }
    case Op::gelu: {
      const ExprId half = b.mul(x, c(0.5));
      if (!approximate) {
        const ExprId e = function(Op::erf, b.mul(x, c(0.70710678118654752440)));
        return b.mul(half, b.add(e, c(1)));
      }
      const ExprId cube = b.mul(b.mul(b.mul(x, x), x), c(0.044715));
      const ExprId t = function(Op::tanh, b.mul(b.add(x, cube), c(0.79788456080286535588)));
      return b.mul(half, b.add(t, c(1)));
    }
    default: return is_library_function(op) ? function(op, x) : -1;
  }
}

ExprId unary(Builder& b, Op op, ExprId x, bool approximate) {
  const DType type = b.type(x);
  if (op == Op::stop_gradient) return x;
  if (op == Op::is_nan) return is_float(type) ? b.binary(Op::not_equal, x, x) : b.boolean(false);
  if (type == DType::boolean) return op == Op::logical_not || op == Op::bit_not ? b.unary(Op::logical_not, x) : -1;
  if (is_float(type))
    if (const ExprId e = float_unary(b, op, x, approximate); e >= 0) return e;
  const ExprId zero = b.integer(0, type);
  switch (op) {
    case Op::neg:
    case Op::abs: return b.unary(op, x);
    case Op::sign: {
      const ExprId negative = b.select(b.binary(Op::less, x, zero), b.integer(-1, type), x);
      return b.select(b.binary(Op::greater, x, zero), b.integer(1, type), negative);
    }
    case Op::relu: return b.select(b.binary(Op::less, x, zero), zero, x);
    case Op::is_inf: return b.boolean(false);
    case Op::bit_not: return is_float(type) ? -1 : b.unary(op, x);
    default: return -1;
  }
}

/// By squaring, one bit of the exponent after the other; negative exponents of 1 and -1 only are not 0.
ExprId integer_power(Builder& b, ExprId x, ExprId y) {
  const DType type = b.type(x);
  const ExprId zero = b.integer(0, type), one = b.integer(1, type);
  const auto odd = [&](ExprId e) { return b.binary(Op::not_equal, b.binary(Op::bit_and, e, one), zero); };
  ExprId power = one, square = x;
  for (std::size_t bit = 0; bit < 8 * size_of(type); ++bit) {
    const ExprId shifted = b.binary(Op::shift_right, y, b.integer(static_cast<std::int64_t>(bit), type));
    power = b.select(odd(shifted), b.mul(power, square), power);
    square = b.mul(square, square);
  }
  const bool is_signed = type == DType::i8 || type == DType::i16 || type == DType::i32 || type == DType::i64;
  if (!is_signed) return power;
  const ExprId minus = b.integer(-1, type);
  const ExprId alternating = b.select(odd(y), minus, one);
  ExprId inverse = b.select(b.binary(Op::equal, x, minus), alternating, zero);
  inverse = b.select(b.binary(Op::equal, x, one), one, inverse);
  return b.select(b.binary(Op::less, y, zero), inverse, power);
}

ExprId binary(Builder& b, Op op, ExprId x, ExprId y) {
  const DType type = b.type(x);
  if (type == DType::boolean) {
    switch (op) {
      case Op::logical_and:
      case Op::bit_and:
      case Op::mul:
      case Op::minimum: return b.binary(Op::logical_and, x, y);
      case Op::logical_or:
      case Op::bit_or:
      case Op::add:
      case Op::maximum: return b.binary(Op::logical_or, x, y);
      case Op::logical_xor:
      case Op::bit_xor: return b.binary(Op::logical_xor, x, y);
      default: return -1;
    }
  }
  switch (op) {
    case Op::add:
    case Op::sub:
    case Op::mul:
    case Op::div:
    case Op::rem:
    case Op::maximum:
    case Op::minimum: return b.binary(op, x, y);
    case Op::pow:
      if (type == DType::f32) return b.cast(b.binary(op, b.cast(x, DType::f64), b.cast(y, DType::f64)), DType::f32);
      return is_float(type) ? b.binary(op, x, y) : integer_power(b, x, y);
    case Op::bit_and:
    case Op::bit_or:
    case Op::bit_xor:
    case Op::shift_left:
    case Op::shift_right: return is_float(type) ? -1 : b.binary(op, x, y);
    default: return -1;
  }
}

}  // namespace

ExprId exp_of_differences(Builder& b, ExprId x) {
  const ExprId least = b.real(-87.3), below = b.binary(Op::less, x, least);
  return b.select(below, b.real(0), Math(b).exp_inside(b.select(below, least, x)));
}

ExprId exp2_for_bf16(Builder& b, ExprId x) { return Math(b).exp2_coarse(x); }

ExprId pointwise(Builder& b, const Node& node, const std::vector<ExprId>& in) {
  const OpClass kind = class_of(node.op);
  if (kind == OpClass::ternary) return b.select(in[0], in[1], in[2]);
  if (kind == OpClass::compare) return b.binary(node.op, in[0], in[1]);
  if (kind == OpClass::binary) return binary(b, node.op, in[0], in[1]);
  const bool approximate = node.op == Op::gelu && node.attributes.text("approximate") == "tanh";
  return unary(b, node.op, in[0], approximate);
}

}  // namespace weft::loops
