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

/// Two passes: the variance is the mean of squared differences, never a difference of squares.
std::vector<ValueId> decompose_moments(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const Dims& dims = node.attributes.integers("dims");
  const ValueId mean = b.mean(x, dims, true);
  const ValueId centred = b.sub(x, mean);
  const ValueId variance = b.mean(b.mul(centred, centred), dims);
  return {b.reshape(mean, b.shape(variance)), variance};
}

/// 1 / sqrt(variance + epsilon).
ValueId inverse_deviation(GraphBuilder& b, ValueId variance, double epsilon) {
  return b.unary(Op::rsqrt, b.add(variance, b.like(variance, epsilon)));
}

/// x [N, ..., C, ...] seen as [groups, N / groups, ..., C, ...].
Shape grouped_shape(const Shape& x, std::int64_t groups) {
  Dims extents = {groups, x[0] / groups};
  for (int d = 1; d < x.rank(); ++d) extents.push_back(x[d]);
  return Shape(std::move(extents));
}

/// How batch normalisation sees its operands once samples are grouped.
struct Grouped {
  GraphBuilder& b;
  std::int64_t groups, axis;  ///< `axis` of the channels in the grouped shape
  Shape whole, shape;
  Dims reduced;  ///< all dimensions but groups and channels

  Grouped(GraphBuilder& builder, const Attributes& attributes, const Shape& x)
      : b(builder),
        groups(attributes.integer("groups")),
        axis(attributes.integer("axis") + 1),
        whole(x),
        shape(grouped_shape(x, groups)) {
    for (int d = 1; d < shape.rank(); ++d)
      if (d != axis) reduced.push_back(d);
  }
  ValueId split(ValueId x) const { return b.reshape(x, shape); }
  ValueId joined(ValueId x) const { return b.reshape(x, whole); }
  ValueId over_groups(ValueId v) const { return b.broadcast_in(v, shape, {0, axis}); }  ///< v: [groups, C]
  ValueId over_channels(ValueId v) const { return b.broadcast_in(v, shape, {axis}); }   ///< v: [C]
};

/// With the running statistics: (x - mean) / sqrt(variance + epsilon) * scale + bias.
ValueId normalised_by_running_statistics(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0], variance = node.inputs[4];
  const Shape shape = b.shape(x);
  const auto spread = [&](ValueId v) { return b.broadcast_in(v, shape, {node.attributes.integer("axis")}); };
  const ValueId inverse = b.unary(Op::rsqrt, b.add(variance, b.like(variance, node.attributes.number("epsilon"))));
  const ValueId centred = b.sub(x, spread(node.inputs[3]));
  return b.add(b.mul(centred, spread(b.mul(inverse, node.inputs[1]))), spread(node.inputs[2]));
}

std::vector<ValueId> decompose_batch_norm(GraphBuilder& b, const Node& node) {
  if (node.inputs.size() == 5) return {normalised_by_running_statistics(b, node)};
  const Grouped grouped(b, node.attributes, b.shape(node.inputs[0]));
  const ValueId x = grouped.split(node.inputs[0]);
  const std::vector<ValueId> moments = b.node(Op::moments, {x}, {{"dims", grouped.reduced}});
  const ValueId deviation = inverse_deviation(b, moments[1], node.attributes.number("epsilon"));
  const ValueId normal = b.mul(b.sub(x, grouped.over_groups(moments[0])), grouped.over_groups(deviation));
  const ValueId y = b.add(b.mul(normal, grouped.over_channels(node.inputs[1])), grouped.over_channels(node.inputs[2]));
  return {grouped.joined(y), moments[0], moments[1]};
}

/// With n = (x - mean) / deviation: dbias = sum dy, dscale = sum dy n,
/// dx = scale / deviation (dy - mean dy - n mean(dy n)), means over each group's samples.
std::vector<ValueId> decompose_batch_norm_grad(GraphBuilder& b, const Node& node) {
  const Grouped grouped(b, node.attributes, b.shape(node.inputs[1]));
  const ValueId dy = grouped.split(node.inputs[0]), x = grouped.split(node.inputs[1]);
  const ValueId deviation =
      grouped.over_groups(inverse_deviation(b, node.inputs[4], node.attributes.number("epsilon")));
  const ValueId normal = b.mul(b.sub(x, grouped.over_groups(node.inputs[3])), deviation);
  const ValueId dy_normal = b.mul(dy, normal);
  const ValueId sum_dy = b.reduce(Op::reduce_sum, dy, grouped.reduced);
  const ValueId sum_dy_normal = b.reduce(Op::reduce_sum, dy_normal, grouped.reduced);
  const double count =
      static_cast<double>(grouped.shape.elements()) / std::max(1.0, static_cast<double>(b.shape(sum_dy).elements()));
  const auto mean = [&](ValueId sum) { return grouped.over_groups(b.div(sum, b.like(sum, count))); };
  const ValueId centred = b.sub(b.sub(dy, mean(sum_dy)), b.mul(normal, mean(sum_dy_normal)));
  const ValueId dx = b.mul(b.mul(grouped.over_channels(node.inputs[2]), deviation), centred);
  return {grouped.joined(dx), b.reduce(Op::reduce_sum, sum_dy_normal, {0}), b.reduce(Op::reduce_sum, sum_dy, {0})};
}

std::vector<ValueId> decompose_layer_norm(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  const Shape shape = b.shape(x);
  Dims dims, kept = shape.extents();
  for (std::int64_t d = node.attributes.integer("axis"); d < shape.rank(); ++d) {
    dims.push_back(d);
    kept[static_cast<std::size_t>(d)] = 1;
  }
  const std::vector<ValueId> moments = b.node(Op::moments, {x}, {{"dims", dims}});
  const ValueId deviation = inverse_deviation(b, moments[1], node.attributes.number("epsilon"));
  const ValueId normal = b.mul(b.sub(x, b.reshape(moments[0], Shape(kept))), b.reshape(deviation, Shape(kept)));
  return {b.add(b.mul(normal, node.inputs[1]), node.inputs[2])};
}

}  // namespace

std::vector<OpRules> normalisation_rules() {
  return {
      {.op = Op::moments, .infer = infer_moments, .decompose = decompose_moments},
      {.op = Op::batch_norm, .infer = infer_batch_norm, .decompose = decompose_batch_norm},
      {.op = Op::batch_norm_grad, .infer = infer_batch_norm_grad, .decompose = decompose_batch_norm_grad},
      {.op = Op::layer_norm, .infer = infer_layer_norm, .decompose = decompose_layer_norm},
  };
}

}  // namespace weft::ops
