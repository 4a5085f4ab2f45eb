// The arithmetic in which reference kernels compute, which is the interpreter's: floats in f64, signed integers in i64,
// unsigned ones and bool in u64; rounded, or wrapped, once.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "weft/dtype.hpp"

namespace weft::cpu {

template <class T>
inline constexpr bool is_sixteen_bit_float = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;

template <class T>
using Wide = std::conditional_t<
    std::is_floating_point_v<T> || is_sixteen_bit_float<T>, double,
    std::conditional_t<std::is_same_v<T, bool> || std::is_unsigned_v<T>, std::uint64_t, std::int64_t>>;

template <class T>
Wide<T> widen(T value) {
  if constexpr (is_sixteen_bit_float<T>)
    return static_cast<double>(static_cast<float>(value));
  else
    return static_cast<Wide<T>>(value);
}

/// To f32 such that rounding again, to half as many bits, gives what one rounding would have given.
inline float round_to_odd(double value) {
  const float nearest = static_cast<float>(value);
  if (!std::isfinite(nearest) || static_cast<double>(nearest) == value) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(value)) --bits;
  return std::bit_cast<float>(bits | 1u);
}

template <class T, class W>
T narrow(W value) {
  if constexpr (is_sixteen_bit_float<T>)
    return T(round_to_odd(static_cast<double>(value)));
  else if constexpr (std::is_same_v<T, bool>)
    return value != W{};
  else
    return static_cast<T>(value);
}

// Integers wrap; NaN wins.
template <class W>
W wide_add(W a, W b) {
  if constexpr (std::is_floating_point_v<W>)
    return a + b;
  else
    return static_cast<W>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
template <class W>
W wide_mul(W a, W b) {
  if constexpr (std::is_floating_point_v<W>)
    return a * b;
  else
    return static_cast<W>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}
template <class W>
W wide_max(W a, W b) {
  return a != a || !(b > a || b != b) ? a : b;
}
template <class W>
W wide_min(W a, W b) {
  return a != a || !(b < a || b != b) ? a : b;
}

}  // namespace weft::cpu
