// Weights and samples from a formula of (name, index), the same as in make_fixtures.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "weft/tensor.hpp"

namespace weft::testing {

/// Element `i` of the sequence called `name`: 24 bits of SplitMix64's output function over the FNV-1a hash of the name
/// plus a Weyl sequence.
class NamedValues {
 public:
  explicit NamedValues(std::string_view name) {
    for (const char c : name) key_ = (key_ ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  }
  std::uint64_t operator[](std::size_t i) const {
    std::uint64_t z = key_ + (i + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return (z ^ (z >> 31)) >> 40;
  }

 private:
  std::uint64_t key_ = 0xCBF29CE484222325U;
};

inline Tensor uniform(std::string_view name, const Shape& shape, double low, double high) {
  Tensor result(DType::f32, shape);
  const NamedValues values(name);
  const auto elements = result.mutable_values<float>();
  for (std::size_t i = 0; i < elements.size(); ++i)
    elements[i] = static_cast<float>(low + (high - low) * (static_cast<double>(values[i]) / (1 << 24)));
  return result;
}

/// Integers from `first` to first + count - 1.
inline Tensor integers(std::string_view name, const Shape& shape, std::int64_t first, std::uint64_t count) {
  Tensor result(DType::i64, shape);
  const NamedValues values(name);
  const auto elements = result.mutable_values<std::int64_t>();
  for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = first + static_cast<std::int64_t>(values[i] % count);
  return result;
}

/// Weights: Kaiming's uniform bound. Scales of batch norms around 1 (the last of a residual branch: small, for the
/// reason that make_fixtures.py gives), biases around 0, fresh running statistics.
inline Tensor initial_value(const std::string& name, const Shape& shape) {
  if (name.ends_with("running_mean")) return Tensor::full(DType::f32, shape, 0);
  if (name.ends_with("running_var")) return Tensor::full(DType::f32, shape, 1);
  if (shape.rank() >= 2) {
    const double bound = std::sqrt(6 / static_cast<double>(shape.elements() / shape[0]));
    return uniform(name, shape, -bound, bound);
  }
  if (name.ends_with("bn2.weight") || name.ends_with("bn3.weight") || name.ends_with("conv.3.weight"))
    return uniform(name, shape, 0.1, 0.3);
  return name.ends_with("weight") ? uniform(name, shape, 0.9, 1.1) : uniform(name, shape, -0.1, 0.1);
}

}  // namespace weft::testing
