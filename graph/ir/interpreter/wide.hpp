// The three arithmetics of the interpreter. Every element type computes in one of them: floats in f64, signed integers
// in i64, unsigned integers and bool in u64; results are rounded, or wrapped, once.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "weft/tensor.hpp"

namespace weft::interpreter {

/// Hands TypeTag<double>, <int64_t> or <uint64_t> to `visitor`.
template <class Visitor>
decltype(auto) visit_wide(DType type, Visitor&& visitor) {
  if (is_float(type)) return visitor(TypeTag<double>{});
  if (is_signed_integer(type)) return visitor(TypeTag<std::int64_t>{});
  return visitor(TypeTag<std::uint64_t>{});
}

template <class Wide>
std::vector<Wide> widen(const Tensor& x) {
  std::vector<Wide> result(static_cast<std::size_t>(x.elements()));
  visit_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    const auto values = x.values<T>();
    for (std::size_t i = 0; i < result.size(); ++i) {
      if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
        result[i] = static_cast<Wide>(static_cast<float>(values[i]));
      else
        result[i] = static_cast<Wide>(values[i]);
    }
  });
  return result;
}

/// To f32 such that a second rounding, to fewer than 23 bits, gives what one rounding would have given.
inline float round_to_odd(double value) {
  float nearest = static_cast<float>(value);
  if (std::isnan(value) || std::isinf(value) || static_cast<double>(nearest) == value) return nearest;
  auto bits = std::bit_cast<std::uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(value)) --bits;
  return std::bit_cast<float>(bits | 1u);
}

template <class T, class Wide>
T narrow_one(Wide value) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return T(round_to_odd(static_cast<double>(value)));
  else if constexpr (std::is_same_v<T, bool>)
    return value != Wide{};
  else
    return static_cast<T>(value);
}

/// Converts back. Integers keep their low bits.
template <class Wide>
Tensor narrow(DType type, const Shape& shape, std::span<const Wide> values) {
  Tensor result(type, shape);
  visit_dtype(type, [&]<class T>(TypeTag<T>) {
    auto to = result.mutable_values<T>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = narrow_one<T>(values[i]);
  });
  return result;
}
template <class Wide>
Tensor narrow(DType type, const Shape& shape, const std::vector<Wide>& values) {
  return narrow(type, shape, std::span<const Wide>(values));
}

// Arithmetic that wraps for integers.
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
/// NaN wins.
template <class W>
W wide_max(W a, W b) {
  if constexpr (std::is_floating_point_v<W>)
    if (std::isnan(a) || std::isnan(b)) return a + b;
  return b > a ? b : a;
}
template <class W>
W wide_min(W a, W b) {
  if constexpr (std::is_floating_point_v<W>)
    if (std::isnan(a) || std::isnan(b)) return a + b;
  return b < a ? b : a;
}

/// The lowest and highest values of an element type (infinities of floats), in its wide type.
template <class W>
W lowest_of(DType type) {
  return visit_dtype(type, []<class T>(TypeTag<T>) -> W {
    if constexpr (std::is_integral_v<T>)
      return static_cast<W>(std::numeric_limits<T>::lowest());
    else
      return static_cast<W>(-std::numeric_limits<double>::infinity());
  });
}
template <class W>
W highest_of(DType type) {
  return visit_dtype(type, []<class T>(TypeTag<T>) -> W {
    if constexpr (std::is_integral_v<T>)
      return static_cast<W>(std::numeric_limits<T>::max());
    else
      return static_cast<W>(std::numeric_limits<double>::infinity());
  });
}

/// Counts through the indices of a shape in row-major order, with the offset that strides give each index.
class Odometer {
 public:
  Odometer(Dims extents, Dims strides, std::int64_t base)
      : extents_(std::move(extents)), strides_(std::move(strides)), index_(extents_.size(), 0), offset_(base) {}

  std::int64_t offset() const { return offset_; }
  const Dims& index() const { return index_; }
  void next() {
    for (std::size_t d = extents_.size(); d-- > 0;) {
      offset_ += strides_[d];
      if (++index_[d] < extents_[d]) return;
      offset_ -= strides_[d] * extents_[d];
      index_[d] = 0;
    }
  }

 private:
  Dims extents_, strides_, index_;
  std::int64_t offset_;
};

}  // namespace weft::interpreter
