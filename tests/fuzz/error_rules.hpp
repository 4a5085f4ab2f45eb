// How each operator passes errors on; private to error_bounds.cpp.
#pragma once

#include <limits>
#include <span>
#include <vector>

#include "tests/fuzz/error_bounds.hpp"

namespace weft::fuzz {

inline constexpr double kUndetermined = std::numeric_limits<double>::infinity();

/// A node being evaluated: in the graph's types, and with floats as f64.
struct Site {
  const Node& node;
  const Node& wide;                           ///< the node with float types replaced by f64
  std::span<const TensorType> operand_types;  ///< of the graph
  std::span<const TensorType> result_types;   ///< of the graph
  const std::vector<Bounded>& operands;
  const std::vector<Tensor>& results;  ///< wide
  bool part_of_a_sum;  ///< the result is added to something: a device may begin a contraction with the other term
};

/// Bounds of the errors of each result.
std::vector<Tensor> result_errors(const Site& site);

/// The float type with 53 bits, others as they are.
TensorType widened(const TensorType& type);
/// Half a unit in the last place of 1.
double unit_roundoff(DType type);
/// Of what sums, products and functions of this type are computed in.
double unit_of_arithmetic(DType type);
/// Whether this type holds `x` exactly.
bool representable(double x, DType type);

// What the rules share.

double smallest_normal(DType type);
double largest(DType type);
bool any_error(const Tensor& error);
Tensor undetermined(const Shape& shape);
/// The node applied to f64 tensors in the place of its operands.
Tensor applied(const Site& s, const std::vector<Tensor>& operands);
Tensor absolute(const Tensor& x);
/// The error after rounding to `type` what arithmetic got within `error` of `value`; NaN means not determined.
double rounded(double value, double error, DType type, double units);
void round_all(Tensor& error, const Tensor& value, DType type, double units);
/// For results that are not floats: what is not exact is not determined.
void exact_or_nothing(Tensor& error);
/// Whether rounding cannot change how these numbers are ordered: ties are of exact numbers only.
bool order_is_certain(const Bounded& x);
/// Multiples of 1/8, without error: their sums, and those of their products, are exact while small.
bool coarse(const Bounded& x);

// The rules, by family. error_rules_elementwise.cpp:
Tensor elementwise_error(const Site& s);
Tensor cast_error(const Site& s);
Tensor compare_error(const Site& s);
Tensor select_error(const Site& s);
// error_rules_sums.cpp:
/// Of a sum of `terms` products or numbers whose absolute values sum to `size`.
Tensor sum_error(const Site& s, Tensor passed_on, const Tensor& size, double terms, bool exact);
/// Operators that are linear in one operand: errors and sizes go through them.
Tensor linear_error(const Site& s, std::size_t operand, double terms);
Tensor reduction_error(const Site& s);
Tensor contraction_error(const Site& s);
std::vector<Tensor> moments_errors(const Site& s);

}  // namespace weft::fuzz
