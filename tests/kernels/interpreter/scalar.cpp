// Operators on single values, written from the rules of op.hpp and ir.hpp.
#include "tests/kernels/interpreter/scalar.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "weft/error.hpp"

namespace weft::loops::testing {
namespace {

template <class T>
T get(Scalar x) {
  if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(x.real);
  else if constexpr (std::is_same_v<T, bool>)
    return x.integer != 0;
  else
    return static_cast<T>(x.integer);
}

template <class T>
Scalar put(T x) {
  if constexpr (std::is_floating_point_v<T>)
    return {static_cast<double>(x), 0};
  else
    return {0, static_cast<std::int64_t>(x)};
}

[[noreturn]] void undefined(Op op) {
  throw InternalError("loop interpreter: " + std::string(name_of(op)) + " is not defined for the type");
}

template <class T>
T unary_float(Op op, T x) {
  switch (op) {
    case Op::neg: return -x;
    case Op::abs: return std::fabs(x);
    case Op::sqrt: return std::sqrt(x);
    case Op::floor: return std::floor(x);
    case Op::ceil: return std::ceil(x);
    case Op::round_even: return std::nearbyint(x);
    case Op::exp: return std::exp(x);
    case Op::expm1: return std::expm1(x);
    case Op::log: return std::log(x);
    case Op::log1p: return std::log1p(x);
    case Op::sin: return std::sin(x);
    case Op::cos: return std::cos(x);
    case Op::tan: return std::tan(x);
    case Op::asin: return std::asin(x);
    case Op::acos: return std::acos(x);
    case Op::atan: return std::atan(x);
    case Op::sinh: return std::sinh(x);
    case Op::cosh: return std::cosh(x);
    case Op::tanh: return std::tanh(x);
    case Op::asinh: return std::asinh(x);
    case Op::acosh: return std::acosh(x);
    case Op::atanh: return std::atanh(x);
    case Op::erf: return std::erf(x);
    default: undefined(op);
  }
}

template <class T>
T binary_float(Op op, T x, T y) {
  switch (op) {
    case Op::add: return x + y;
    case Op::sub: return x - y;
    case Op::mul: return x * y;
    case Op::div: return x / y;
    case Op::rem: return std::fmod(x, y);
    case Op::pow: return std::pow(x, y);
    // NaN of either; the second of two equal ones, which tells zeros apart.
    case Op::maximum: return std::isnan(x) || x > y ? x : y;
    case Op::minimum: return std::isnan(x) || x < y ? x : y;
    default: undefined(op);
  }
}

template <class T>
T binary_integer(Op op, T x, T y) {
  using Wide = std::uint64_t;  // wraps
  constexpr auto kWidth = static_cast<Wide>(8 * sizeof(T));
  const auto amount = static_cast<Wide>(static_cast<std::make_unsigned_t<T>>(y));
  switch (op) {
    case Op::add: return static_cast<T>(static_cast<Wide>(x) + static_cast<Wide>(y));
    case Op::sub: return static_cast<T>(static_cast<Wide>(x) - static_cast<Wide>(y));
    case Op::mul: return static_cast<T>(static_cast<Wide>(x) * static_cast<Wide>(y));
    case Op::div:
      if (y == 0) return 0;
      if (std::is_signed_v<T> && y == static_cast<T>(-1)) return static_cast<T>(Wide{0} - static_cast<Wide>(x));
      return static_cast<T>(x / y);
    case Op::rem:
      if (y == 0 || (std::is_signed_v<T> && y == static_cast<T>(-1))) return 0;
      return static_cast<T>(x % y);
    case Op::maximum: return x > y ? x : y;
    case Op::minimum: return x < y ? x : y;
    case Op::bit_and: return static_cast<T>(x & y);
    case Op::bit_or: return static_cast<T>(x | y);
    case Op::bit_xor: return static_cast<T>(x ^ y);
    case Op::shift_left: return amount >= kWidth ? T{0} : static_cast<T>(static_cast<Wide>(x) << amount);
    case Op::shift_right:
      if (amount >= kWidth) return static_cast<T>(std::is_signed_v<T> && x < 0 ? -1 : 0);
      return static_cast<T>(x >> amount);
    default: undefined(op);
  }
}

bool binary_boolean(Op op, bool x, bool y) {
  switch (op) {
    case Op::logical_and:
    case Op::bit_and:
    case Op::mul:
    case Op::minimum: return x && y;
    case Op::logical_or:
    case Op::bit_or:
    case Op::add:
    case Op::maximum: return x || y;
    case Op::logical_xor:
    case Op::bit_xor: return x != y;
    default: undefined(op);
  }
}

template <class T>
bool compare(Op op, T x, T y) {
  switch (op) {
    case Op::equal: return x == y;
    case Op::not_equal: return x != y;
    case Op::less: return x < y;
    case Op::less_equal: return x <= y;
    case Op::greater: return x > y;
    case Op::greater_equal: return x >= y;
    default: undefined(op);
  }
}

/// Truncated, and what does not fit is the nearest that does; NaN is 0.
template <class To, class From>
To to_integer(From x) {
  using Limits = std::numeric_limits<To>;
  if (std::isnan(x)) return 0;
  const auto whole = static_cast<long double>(std::trunc(x));
  if (whole <= static_cast<long double>(Limits::min())) return Limits::min();
  if (whole >= static_cast<long double>(Limits::max())) return Limits::max();
  return static_cast<To>(whole);
}

}  // namespace

Scalar unary(Op op, DType type, Scalar x) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) -> Scalar {
    if constexpr (std::is_floating_point_v<T>) {
      return put(unary_float(op, get<T>(x)));
    } else if constexpr (std::is_same_v<T, bool>) {
      return put(op == Op::logical_not || op == Op::bit_not ? !get<T>(x) : (undefined(op), false));
    } else if constexpr (std::is_integral_v<T>) {
      const T value = get<T>(x);
      if (op == Op::bit_not) return put(static_cast<T>(~value));
      if (op == Op::neg || (op == Op::abs && std::is_signed_v<T> && value < T{0}))
        return put(binary_integer<T>(Op::sub, 0, value));
      if (op == Op::abs) return x;
    }
    undefined(op);
  });
}

Scalar binary(Op op, DType type, Scalar x, Scalar y) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) -> Scalar {
    if constexpr (std::is_arithmetic_v<T>) {
      const T a = get<T>(x), b = get<T>(y);
      if (class_of(op) == OpClass::compare) return put(compare(op, a, b));
      if constexpr (std::is_floating_point_v<T>)
        return put(binary_float(op, a, b));
      else if constexpr (std::is_same_v<T, bool>)
        return put(binary_boolean(op, a, b));
      else
        return put(binary_integer(op, a, b));
    } else {
      undefined(op);
    }
  });
}

Scalar multiply_add(DType type, Scalar x, Scalar y, Scalar z, bool fused) {
  if (!fused) return binary(Op::add, type, binary(Op::mul, type, x, y), z);
  if (type == DType::f64) return put(std::fma(x.real, y.real, z.real));
  return put(std::fma(get<float>(x), get<float>(y), get<float>(z)));
}

Scalar dot_pairs(Scalar x, Scalar y, Scalar z, bool fused) {
  const auto half = [](Scalar pair, int which) {
    const auto bits = static_cast<std::uint32_t>(pair.integer);
    return put(std::bit_cast<float>(which == 0 ? bits << 16 : bits & 0xffff0000u));
  };
  z = multiply_add(DType::f32, half(x, 0), half(y, 0), z, fused);
  return multiply_add(DType::f32, half(x, 1), half(y, 1), z, fused);
}

Scalar cast(DType from, DType to, Scalar x) {
  if (from == DType::f16 || from == DType::bf16) from = DType::f32;
  return visit_dtype(to, [&]<class To>(TypeTag<To>) -> Scalar {
    return visit_dtype(from, [&]<class From>(TypeTag<From>) -> Scalar {
      if constexpr (std::is_arithmetic_v<From>) {
        const From value = get<From>(x);
        if constexpr (!std::is_arithmetic_v<To>)
          return put(static_cast<float>(To(static_cast<float>(value))));
        else if constexpr (std::is_same_v<To, bool>)
          return put(value != From{});
        else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>)
          return put(to_integer<To>(value));
        else
          return put(static_cast<To>(value));
      } else {
        throw InternalError("loop interpreter: a cast from a 16-bit float");
      }
    });
  });
}

Scalar bitcast(DType from, DType to, Scalar x) {
  std::byte memory[8] = {};
  store(from, x, memory);
  return load(to, memory);
}

Scalar round_to(DType type, Scalar x) { return cast(DType::f32, type, x); }

Scalar constant(DType type, std::int64_t bits) {
  if (is_float(type)) return cast(DType::f64, type == DType::f64 ? type : DType::f32, {std::bit_cast<double>(bits), 0});
  return cast(DType::i64, type, {0, bits});
}

Scalar load(DType type, const std::byte* element) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) -> Scalar {
    if constexpr (std::is_same_v<T, bool>) return put(*element != std::byte{0});
    T value;
    std::memcpy(&value, element, sizeof value);
    if constexpr (std::is_arithmetic_v<T>)
      return put(value);
    else
      return put(static_cast<float>(value));
  });
}

void store(DType type, Scalar x, std::byte* element) {
  visit_dtype(type, [&]<class T>(TypeTag<T>) {
    T value;
    if constexpr (std::is_arithmetic_v<T>)
      value = get<T>(x);
    else
      value = T(get<float>(x));
    std::memcpy(element, &value, sizeof value);
  });
}

}  // namespace weft::loops::testing
