// Shapes, broadcasting and axis normalisation.
#include "weft/shape.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "weft/error.hpp"

namespace weft {

std::string to_string(std::span<const std::int64_t> dims) { return fmt::format("[{}]", fmt::join(dims, ", ")); }

namespace {

/// Bytes of any type, and of sums over thousands of tensors, then fit 63 bits.
constexpr std::int64_t kMostElements = std::int64_t{1} << 48;

}  // namespace

Shape::Shape(Dims extents) : extents_(std::move(extents)) {
  // Zeros aside: strides and products of some of the extents must fit too.
  std::int64_t span = 1;
  for (const std::int64_t e : extents_) {
    if (e < 0) throw UserError(fmt::format("shape {} has a negative extent", to_string(extents_)));
    if (__builtin_mul_overflow(span, std::max<std::int64_t>(e, 1), &span) || span > kMostElements)
      throw UserError(fmt::format("shape {} has more than 2^48 elements", to_string(extents_)));
    elements_ *= e;
  }
}

std::int64_t Shape::elements(int from, int to) const {
  std::int64_t product = 1;
  for (int d = from; d < to; ++d) product *= (*this)[d];
  return product;
}

Shape Shape::with(int dimension, std::int64_t extent) const {
  Dims extents = extents_;
  extents.at(static_cast<std::size_t>(dimension)) = extent;
  return Shape(std::move(extents));
}

Dims Shape::row_major_strides() const {
  Dims strides(extents_.size(), 1);
  for (int d = rank() - 2; d >= 0; --d) {
    const auto i = static_cast<std::size_t>(d);
    strides[i] = strides[i + 1] * std::max<std::int64_t>(extents_[i + 1], 1);
  }
  return strides;
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Dims result(static_cast<std::size_t>(rank));
  for (int i = 1; i <= rank; ++i) {
    const std::int64_t x = i <= a.rank() ? a[a.rank() - i] : 1;
    const std::int64_t y = i <= b.rank() ? b[b.rank() - i] : 1;
    if (x != y && x != 1 && y != 1) throw UserError(fmt::format("shapes {} and {} do not broadcast", a.str(), b.str()));
    result[static_cast<std::size_t>(rank - i)] = x == 1 ? y : x;
  }
  return Shape(std::move(result));
}

int normalize_axis(std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank)
    throw UserError(fmt::format("axis {} is outside [{}, {}) of a tensor of rank {}", axis, -rank, rank, rank));
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

}  // namespace weft
