// What infer rules share: reading attributes and checking operand types, with errors in the user's terms.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weft/graph.hpp"

namespace weft::ops {

/// One node under inspection. Every check throws UserError "operator: reason, operands, attributes" when it fails.
class Check {
 public:
  Check(const Node& node, std::span<const TensorType> operands) : node_(node), operands_(operands) {}

  [[noreturn]] void fail(const std::string& reason) const;
  void that(bool condition, const char* reason) const {
    if (!condition) fail(reason);
  }

  const Node& node() const { return node_; }
  const TensorType& operand(int i) const { return operands_[static_cast<std::size_t>(i)]; }
  const Shape& shape(int i) const { return operand(i).shape; }
  DType dtype(int i) const { return operand(i).dtype; }

  /// So many operands, and exactly these attributes.
  void signature(std::size_t operand_count, std::initializer_list<std::string_view> attributes) const;
  void attributes(std::initializer_list<std::string_view> names) const;
  /// The same for a contraction of two operands of one type, which may have a `dtype` besides: the result's type.
  DType contraction(std::initializer_list<std::string_view> attributes) const;
  void floating(int i) const;
  void numeric(int i) const;  ///< anything but bool
  void integral(int i) const;
  void scalar(int i, DType type) const;
  void same_dtype(int i, int j) const;
  void same_type(int i, int j) const;

  std::int64_t integer(std::string_view name, std::int64_t low, std::int64_t high = INT64_MAX) const;
  bool flag(std::string_view name) const { return integer(name, 0, 1) != 0; }
  double number(std::string_view name, double low, double high) const;  ///< low <= value < high
  std::string text(std::string_view name, std::initializer_list<std::string_view> allowed) const;
  DType type(std::string_view name) const;
  /// A list of integers, each in [low, high].
  Dims dims(std::string_view name, std::int64_t low, std::int64_t high = kLargest) const;
  /// The same with exactly `count` entries.
  Dims dims_of(std::string_view name, std::size_t count, std::int64_t low, std::int64_t high = kLargest) const;
  /// Distinct dimensions of a tensor of that rank, in any order.
  Dims axes(std::string_view name, int rank) const;
  int axis(std::string_view name, int rank) const { return static_cast<int>(integer(name, 0, rank - 1)); }
  Shape shape_attribute(std::string_view name) const;

  /// Bound of extents, strides and pads in attributes: sums and products of a few stay inside 63 bits.
  static constexpr std::int64_t kLargest = std::int64_t{1} << 40;

 private:
  template <class T>
  const T& get(std::string_view name, const char* kind) const;

  const Node& node_;
  std::span<const TensorType> operands_;
};

}  // namespace weft::ops
