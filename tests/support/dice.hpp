// Random choices of tests that draw their cases: reproducible from a seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <random>
#include <vector>

#include "weft/layout.hpp"
#include "weft/tensor.hpp"

namespace weft::testing {

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  /// Between `low` and `high`, both included.
  std::int64_t roll(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }
  bool chance(int percent) { return roll(1, 100) <= percent; }
  template <class T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[roll(0, static_cast<std::int64_t>(from.size()) - 1)];
  }
  Dims order(int rank) {
    Dims result(static_cast<std::size_t>(rank));
    std::iota(result.begin(), result.end(), 0);
    std::shuffle(result.begin(), result.end(), engine_);
    return result;
  }
  /// Ascending dimensions, each with the given chance.
  Dims some(int rank, int percent) {
    Dims result;
    for (int d = 0; d < rank; ++d)
      if (chance(percent)) result.push_back(d);
    return result;
  }
  Shape shape(int rank, std::int64_t most) {
    Dims extents;
    for (int d = 0; d < rank; ++d) extents.push_back(chance(12) ? 1 : chance(2) ? 0 : roll(2, most));
    return Shape(std::move(extents));
  }
  /// Multiples of a quarter in [-2, 2]; small integers, or any.
  Tensor values(DType type, const Shape& shape) {
    Tensor t(DType::f64, shape);
    if (is_integer(type) && chance(30)) {
      Tensor any(DType::i64, shape);
      for (std::int64_t& x : any.mutable_values<std::int64_t>()) x = roll(INT64_MIN, INT64_MAX);
      return any.cast(type);
    }
    const bool negative = is_float(type) || is_signed_integer(type);
    for (double& x : t.mutable_values<double>())
      x = static_cast<double>(roll(negative ? -8 : 0, 8)) / (is_float(type) ? 4 : 1);
    return t.cast(type);
  }
  /// Row-major, permuted, blocked as the library blocks, or with gaps.
  Layout layout(const Shape& shape) {
    const int rank = shape.rank();
    const std::int64_t kind = roll(0, 9);
    if (rank == 0 || kind <= 2) return Layout::dense(shape);
    if (kind <= 4 && rank >= 3) {  // channels last
      Dims order{0};
      for (int d = 2; d < rank; ++d) order.push_back(d);
      order.push_back(1);
      return Layout::permuted(shape, order);
    }
    if (kind <= 7 && rank >= 2) return Layout::blocked(shape, {{1, pick<std::int64_t>({4, 8, 16})}});
    Layout result = Layout::permuted(shape, order(rank));
    if (kind == 9)
      for (std::int64_t& s : result.strides) s *= 2;
    return result;
  }

 private:
  std::mt19937 engine_;
};

}  // namespace weft::testing
