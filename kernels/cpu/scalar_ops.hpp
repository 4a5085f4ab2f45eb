// Types in which stored values are computed, and conversions between types.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "weft/dtype.hpp"

namespace weft::cpu {

/// The type in which values stored as `T` are computed: f32 for the 16-bit floats, else T.
template <class T>
using ComputeType = std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float, T>;

inline DType compute_type(DType type) { return type == DType::f16 || type == DType::bf16 ? DType::f32 : type; }

/// Conversion with Tensor::cast's meaning: float to integer truncates and saturates, NaN gives 0; to bool is `!= 0`.
template <class To, class From>
To convert(From value) {
  if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, bool>) {
    return value != From{};
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
    return To(static_cast<float>(value));
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if (std::isnan(value)) return To{};
    const double d = static_cast<double>(value);
    if (d >= std::ldexp(1.0, std::numeric_limits<To>::digits)) return std::numeric_limits<To>::max();
    if (d <= static_cast<double>(std::numeric_limits<To>::lowest())) return std::numeric_limits<To>::lowest();
    return static_cast<To>(d);
  } else {
    return static_cast<To>(value);
  }
}

}  // namespace weft::cpu
