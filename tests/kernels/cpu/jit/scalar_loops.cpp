// Plain loops of the elementwise operators.
#include "tests/kernels/cpu/jit/scalar_loops.hpp"

#include "kernels/cpu/scalar_ops.hpp"

namespace weft::cpu {
namespace {

template <class In, class Out, auto F>
void loop1(const void* const* in, void* out, std::int64_t n) {
  const In* x = static_cast<const In*>(in[0]);
  Out* y = static_cast<Out*>(out);
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<Out>(F(x[i]));
}

template <class In, class Out, auto F>
void loop2(const void* const* in, void* out, std::int64_t n) {
  const In* x = static_cast<const In*>(in[0]);
  const In* y = static_cast<const In*>(in[1]);
  Out* z = static_cast<Out*>(out);
  for (std::int64_t i = 0; i < n; ++i) z[i] = static_cast<Out>(F(x[i], y[i]));
}

template <class T>
T wrap_multiply(T x, T y) {
  // In 64 bits without sign: 16-bit factors would otherwise be promoted to int and overflow.
  return static_cast<T>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(y));
}

template <class T>
T divide(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    if (y == 0) return 0;
    if constexpr (std::is_signed_v<T>)
      if (y == T{-1}) return static_cast<T>(-static_cast<std::uint64_t>(x));
    return static_cast<T>(x / y);
  } else {
    return x / y;
  }
}

template <class T>
T remainder(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    if (y == 0) return 0;
    if constexpr (std::is_signed_v<T>)
      if (y == T{-1}) return 0;
    return static_cast<T>(x % y);
  } else {
    return std::fmod(x, y);
  }
}

template <class T>
T power(T x, T y) {
  if constexpr (std::is_integral_v<T>) {
    if (y < 0) return x == 1 ? 1 : x == static_cast<T>(-1) ? (y % 2 ? static_cast<T>(-1) : T{1}) : T{0};
    T result = 1;
    for (T e = y; e > 0; e = static_cast<T>(e >> 1)) {
      if (e & 1) result = wrap_multiply(result, x);
      x = wrap_multiply(x, x);
    }
    return result;
  } else {
    return std::pow(x, y);
  }
}

template <class T>
T shift(T x, T y, bool left) {
  constexpr int kBits = std::numeric_limits<std::make_unsigned_t<T>>::digits;
  if (y < 0 || static_cast<std::uint64_t>(y) >= static_cast<std::uint64_t>(kBits)) return !left && x < 0 ? T(-1) : T(0);
  return left ? static_cast<T>(static_cast<std::uint64_t>(x) << y) : static_cast<T>(x >> y);
}

template <class T>
T sign_of(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : x;
}

template <class T>
bool is_nan_value(T x) {
  return x != x;
}

template <class T>
ScalarLoop float_unary(Op op, bool approximate) {
  switch (op) {
    case Op::exp: return loop1<T, T, [](T x) { return std::exp(x); }>;
    case Op::expm1: return loop1<T, T, [](T x) { return std::expm1(x); }>;
    case Op::log: return loop1<T, T, [](T x) { return std::log(x); }>;
    case Op::log1p: return loop1<T, T, [](T x) { return std::log1p(x); }>;
    case Op::sqrt: return loop1<T, T, [](T x) { return std::sqrt(x); }>;
    case Op::rsqrt: return loop1<T, T, [](T x) { return 1 / std::sqrt(x); }>;
    case Op::reciprocal: return loop1<T, T, [](T x) { return 1 / x; }>;
    case Op::sin: return loop1<T, T, [](T x) { return std::sin(x); }>;
    case Op::cos: return loop1<T, T, [](T x) { return std::cos(x); }>;
    case Op::tan: return loop1<T, T, [](T x) { return std::tan(x); }>;
    case Op::asin: return loop1<T, T, [](T x) { return std::asin(x); }>;
    case Op::acos: return loop1<T, T, [](T x) { return std::acos(x); }>;
    case Op::atan: return loop1<T, T, [](T x) { return std::atan(x); }>;
    case Op::sinh: return loop1<T, T, [](T x) { return std::sinh(x); }>;
    case Op::cosh: return loop1<T, T, [](T x) { return std::cosh(x); }>;
    case Op::asinh: return loop1<T, T, [](T x) { return std::asinh(x); }>;
    case Op::acosh: return loop1<T, T, [](T x) { return std::acosh(x); }>;
    case Op::atanh: return loop1<T, T, [](T x) { return std::atanh(x); }>;
    case Op::tanh: return loop1<T, T, [](T x) { return std::tanh(x); }>;
    case Op::erf: return loop1<T, T, [](T x) { return std::erf(x); }>;
    case Op::floor: return loop1<T, T, [](T x) { return std::floor(x); }>;
    case Op::ceil: return loop1<T, T, [](T x) { return std::ceil(x); }>;
    case Op::round_even: return loop1<T, T, [](T x) { return std::nearbyint(x); }>;
    case Op::is_inf: return loop1<T, bool, [](T x) { return std::isinf(x); }>;
    case Op::sigmoid: return loop1<T, T, [](T x) { return 1 / (1 + std::exp(-x)); }>;
    case Op::silu: return loop1<T, T, [](T x) { return x / (1 + std::exp(-x)); }>;
    case Op::softplus: return loop1<T, T, [](T x) { return (x < 0 ? T(0) : x) + std::log1p(std::exp(-std::abs(x))); }>;
    case Op::gelu:
      if (approximate)
        return loop1<T, T, [](T x) {
          return T(0.5) * x * (1 + std::tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x)));
        }>;
      return loop1<T, T, [](T x) { return T(0.5) * x * (1 + std::erf(x * T(0.70710678118654752440))); }>;
    default: return nullptr;
  }
}

template <class T>
ScalarLoop number_unary(Op op) {
  switch (op) {
    case Op::neg:
      if constexpr (std::is_integral_v<T>)
        return loop1<T, T, [](T x) { return static_cast<T>(-static_cast<std::uint64_t>(x)); }>;
      else
        return loop1<T, T, [](T x) { return -x; }>;
    case Op::abs:
      if constexpr (std::is_integral_v<T>)
        return loop1<T, T, [](T x) { return x < 0 ? static_cast<T>(-static_cast<std::uint64_t>(x)) : x; }>;
      else
        return loop1<T, T, [](T x) { return std::abs(x); }>;
    case Op::sign: return loop1<T, T, [](T x) { return sign_of(x); }>;
    case Op::relu: return loop1<T, T, [](T x) { return x < 0 ? T(0) : x; }>;
    case Op::is_inf: return loop1<T, bool, [](T) { return false; }>;
    case Op::bit_not:
      if constexpr (std::is_integral_v<T>) return loop1<T, T, [](T x) { return static_cast<T>(~x); }>;
      return nullptr;
    default: return nullptr;
  }
}

template <class T>
ScalarLoop unary_of(Op op, bool approximate) {
  if (op == Op::stop_gradient) return loop1<T, T, [](T x) { return x; }>;
  if (op == Op::is_nan) return loop1<T, bool, [](T x) { return is_nan_value(x); }>;
  if constexpr (std::is_same_v<T, bool>) {
    if (op == Op::logical_not || op == Op::bit_not) return loop1<T, T, [](T x) { return !x; }>;
    return nullptr;
  } else {
    if constexpr (std::is_floating_point_v<T>)
      if (ScalarLoop fn = float_unary<T>(op, approximate)) return fn;
    return number_unary<T>(op);
  }
}

template <class T>
ScalarLoop integer_binary(Op op) {
  switch (op) {
    case Op::bit_and: return loop2<T, T, [](T x, T y) { return x & y; }>;
    case Op::bit_or: return loop2<T, T, [](T x, T y) { return x | y; }>;
    case Op::bit_xor: return loop2<T, T, [](T x, T y) { return x ^ y; }>;
    case Op::shift_left: return loop2<T, T, [](T x, T y) { return shift(x, y, true); }>;
    case Op::shift_right: return loop2<T, T, [](T x, T y) { return shift(x, y, false); }>;
    case Op::add:
      return loop2<T, T, [](T x, T y) { return static_cast<std::uint64_t>(x) + static_cast<std::uint64_t>(y); }>;
    case Op::sub:
      return loop2<T, T, [](T x, T y) { return static_cast<std::uint64_t>(x) - static_cast<std::uint64_t>(y); }>;
    case Op::mul: return loop2<T, T, [](T x, T y) { return wrap_multiply(x, y); }>;
    default: return nullptr;
  }
}

template <class T>
ScalarLoop binary_of(Op op) {
  if constexpr (std::is_same_v<T, bool>) {
    switch (op) {
      case Op::logical_and:
      case Op::bit_and:
      case Op::mul:
      case Op::minimum: return loop2<T, T, [](T x, T y) { return x && y; }>;
      case Op::logical_or:
      case Op::bit_or:
      case Op::add:
      case Op::maximum: return loop2<T, T, [](T x, T y) { return x || y; }>;
      case Op::logical_xor:
      case Op::bit_xor: return loop2<T, T, [](T x, T y) { return x != y; }>;
      default: return nullptr;
    }
  } else {
    if constexpr (std::is_integral_v<T>)
      if (ScalarLoop fn = integer_binary<T>(op)) return fn;
    switch (op) {
      case Op::add: return loop2<T, T, [](T x, T y) { return x + y; }>;
      case Op::sub: return loop2<T, T, [](T x, T y) { return x - y; }>;
      case Op::mul: return loop2<T, T, [](T x, T y) { return x * y; }>;
      case Op::div: return loop2<T, T, [](T x, T y) { return divide(x, y); }>;
      case Op::rem: return loop2<T, T, [](T x, T y) { return remainder(x, y); }>;
      case Op::pow: return loop2<T, T, [](T x, T y) { return power(x, y); }>;
      case Op::maximum: return loop2<T, T, [](T x, T y) { return y < x || is_nan_value(x) ? x : y; }>;
      case Op::minimum: return loop2<T, T, [](T x, T y) { return x < y || is_nan_value(x) ? x : y; }>;
      default: return nullptr;
    }
  }
}

template <class T>
ScalarLoop compare_of(Op op) {
  switch (op) {
    case Op::equal: return loop2<T, bool, [](T x, T y) { return x == y; }>;
    case Op::not_equal: return loop2<T, bool, [](T x, T y) { return x != y; }>;
    case Op::less: return loop2<T, bool, [](T x, T y) { return x < y; }>;
    case Op::less_equal: return loop2<T, bool, [](T x, T y) { return x <= y; }>;
    case Op::greater: return loop2<T, bool, [](T x, T y) { return y < x; }>;
    case Op::greater_equal: return loop2<T, bool, [](T x, T y) { return y <= x; }>;
    default: return nullptr;
  }
}

template <class T>
void select_loop(const void* const* in, void* out, std::int64_t n) {
  const bool* c = static_cast<const bool*>(in[0]);
  const T* x = static_cast<const T*>(in[1]);
  const T* y = static_cast<const T*>(in[2]);
  T* z = static_cast<T*>(out);
  for (std::int64_t i = 0; i < n; ++i) z[i] = c[i] ? x[i] : y[i];
}

template <class From, class To>
void cast_loop(const void* const* in, void* out, std::int64_t n) {
  const From* x = static_cast<const From*>(in[0]);
  To* y = static_cast<To*>(out);
  for (std::int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
}

template <class Through>
void round_loop(const void* const* in, void* out, std::int64_t n) {
  const float* x = static_cast<const float*>(in[0]);
  float* y = static_cast<float*>(out);
  for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(Through(x[i]));
}

}  // namespace

ScalarLoop scalar_unary(Op op, DType type, bool approximate_gelu) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) { return unary_of<ComputeType<T>>(op, approximate_gelu); });
}
ScalarLoop scalar_binary(Op op, DType type) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) { return binary_of<ComputeType<T>>(op); });
}
ScalarLoop scalar_compare(Op op, DType type) {
  return visit_dtype(type, [&]<class T>(TypeTag<T>) { return compare_of<ComputeType<T>>(op); });
}
ScalarLoop scalar_select(DType type) {
  switch (size_of(type)) {
    case 1: return select_loop<std::uint8_t>;
    case 2: return select_loop<std::uint16_t>;
    case 4: return select_loop<std::uint32_t>;
    default: return select_loop<std::uint64_t>;
  }
}
ScalarLoop scalar_cast(DType from, DType to) {
  return visit_dtype(from, [&]<class From>(TypeTag<From>) -> ScalarLoop {
    return visit_dtype(to, [&]<class To>(TypeTag<To>) -> ScalarLoop { return cast_loop<From, To>; });
  });
}
ScalarLoop scalar_round(DType to) {
  if (to == DType::f16) return round_loop<Half>;
  if (to == DType::bf16) return round_loop<BFloat16>;
  return nullptr;
}

}  // namespace weft::cpu
