// Shapes: the static extents of a tensor. Symbolic dimensions are bound before a Graph exists.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace weft {

/// A list of integers about dimensions: extents, strides, axes, offsets.
using Dims = std::vector<std::int64_t>;

/// "[2, 3, 5]".
std::string to_string(std::span<const std::int64_t> dims);

/// The extents of a tensor, outermost first; rank 0 is a scalar. Extents are at least 0 and their product, zeros
/// aside, fits 63 bits (the constructors throw UserError otherwise, for shapes come from untrusted files).
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : Shape(Dims(extents)) {}
  explicit Shape(Dims extents);

  int rank() const { return static_cast<int>(extents_.size()); }
  std::int64_t operator[](int dimension) const { return extents_[static_cast<std::size_t>(dimension)]; }
  const Dims& extents() const { return extents_; }
  std::int64_t elements() const { return elements_; }
  /// Of dimensions `from` (included) to `to` (excluded) alone; 1 where there are none.
  std::int64_t elements(int from, int to) const;

  auto begin() const { return extents_.begin(); }
  auto end() const { return extents_.end(); }
  bool operator==(const Shape& other) const { return extents_ == other.extents_; }

  /// This shape with one extent changed.
  Shape with(int dimension, std::int64_t extent) const;
  /// Row-major strides in elements.
  Dims row_major_strides() const;
  std::string str() const { return to_string(extents_); }

 private:
  Dims extents_;
  std::int64_t elements_ = 1;
};

/// NumPy's broadcasting of two shapes. Throws UserError naming both where they do not fit.
Shape broadcast_shapes(const Shape& a, const Shape& b);

/// `axis` counted from the end when negative; throws UserError when outside [-rank, rank).
int normalize_axis(std::int64_t axis, int rank);

}  // namespace weft
