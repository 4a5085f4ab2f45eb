// Moments, and the normalisations that use them.
#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_moments(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"dims"});
  check.floating(0);
  const Dims dims = check.axes("dims", check.shape(0).rank());
  Dims extents;
  for (int d = 0; d < check.shape(0).rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) extents.push_back(check.shape(0)[d]);
  const TensorType result{check.dtype(0), Shape(std::move(extents))};
  return {result, result};
}

/// Checks {axis, epsilon, groups} against `x` and returns the shape of its statistics: [groups, channels].
Shape checked_groups(const Check& check, const Shape& x) {
  check.that(x.rank() >= 2, "x must be [N, C, ...]");
  const auto axis = static_cast<int>(check.integer("axis", 1, x.rank() - 1));
  check.number("epsilon", 0, 1e30);
  const std::int64_t groups = check.integer("groups", 1);
  if (x[0] % groups != 0) check.fail(fmt::format("{} samples do not divide into {} equal groups", x[0], groups));
  return {groups, x[axis]};
}

void check_channels(const Check& check, int operand, std::int64_t channels) {
  if (check.shape(operand) != Shape{channels})
    check.fail(fmt::format("operand {} must have the shape [{}]", operand, channels));
}

/// The inference form (see op.hpp): x normalised with given statistics.
std::vector<TensorType> infer_batch_norm_inference(const Check& check) {
  check.signature(5, {"axis", "epsilon", "momentum", "groups"});
  check.floating(0);
  check.that(check.shape(0).rank() >= 2, "x must be [N, C, ...]");
  const auto axis = static_cast<int>(check.integer("axis", 1, check.shape(0).rank() - 1));
  check.number("epsilon", 0, 1e30);
  check.number("momentum", -1e30, 1e30);
  check.integer("groups", 0, 0);
  for (const int i : {1, 2, 3, 4}) {
    check.same_dtype(0, i);
    check_channels(check, i, check.shape(0)[axis]);
  }
  return {check.operand(0)};
}

std::vector<TensorType> infer_batch_norm(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  if (operands.size() == 5) return infer_batch_norm_inference(check);
  check.signature(3, {"axis", "epsilon", "groups"});
  check.floating(0);
  const Shape statistics = checked_groups(check, check.shape(0));
  for (const int i : {1, 2}) {
    check.same_dtype(0, i);
    check_channels(check, i, statistics[1]);
  }
  const TensorType moments{check.dtype(0), statistics};
  return {check.operand(0), moments, moments};
}

std::vector<TensorType> infer_batch_norm_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(5, {"axis", "epsilon", "groups"});
  check.floating(0);
  check.same_type(0, 1);
  const Shape statistics = checked_groups(check, check.shape(1));
  for (const int i : {2, 3, 4}) check.same_dtype(1, i);
  check_channels(check, 2, statistics[1]);
  for (const int i : {3, 4})
    if (check.shape(i) != statistics) check.fail(fmt::format("operand {} must have the shape {}", i, statistics.str()));
  return {check.operand(1), check.operand(2), check.operand(2)};
}

std::vector<TensorType> infer_layer_norm(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(3, {"axis", "epsilon"});
  check.floating(0);
  const int axis = check.axis("axis", check.shape(0).rank());
  check.number("epsilon", 0, 1e30);
  const Shape normalised(Dims(check.shape(0).begin() + axis, check.shape(0).end()));
  for (const int i : {1, 2}) {
    check.same_dtype(0, i);
    if (check.shape(i) != normalised) check.fail(fmt::format("operand {} must have the shape {}", i, normalised.str()));
  }
  return {check.operand(0)};
}

}  // namespace

std::vector<OpRules> normalisation_rules() {
  return {
      {.op = Op::moments, .infer = infer_moments},
      {.op = Op::batch_norm, .infer = infer_batch_norm},
      {.op = Op::batch_norm_grad, .infer = infer_batch_norm_grad},
      {.op = Op::layer_norm, .infer = infer_layer_norm},
  };
}

}  // namespace weft::ops
