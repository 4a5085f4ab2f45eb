// Moments, and the normalisations that use them.
#include <fmt/format.h>
#include <functional>

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

// All normalisations compute on wide values and give results of their operand's type: squares of f16 overflow from 256
// on, and sums earlier.

/// Two passes: the variance is the mean of squared differences, never a difference of squares.
std::vector<ValueId> decompose_moments(GraphBuilder& b, const Node& node) {
  const ValueId x = b.wide(node.inputs[0]);
  const DType type = b.dtype(node.inputs[0]);
  const Dims& dims = node.attributes.integers("dims");
  const ValueId mean = b.mean(x, dims, true);
  const ValueId centred = b.sub(x, mean);
  const ValueId variance = b.mean(b.mul(centred, centred), dims);
  return {b.cast(b.reshape(mean, b.shape(variance)), type), b.cast(variance, type)};
}

/// 1 / sqrt(variance + epsilon).
ValueId inverse_deviation(GraphBuilder& b, ValueId variance, double epsilon) {
  return b.unary(Op::rsqrt, b.add(variance, b.like(variance, epsilon)));
}

/// x [N, ..., C, ...] seen as [groups, N / groups, ..., C, ...]; as it is when there is one group, so that nothing
/// stands between it and its neighbours.
Shape grouped_shape(const Shape& x, std::int64_t groups) {
  if (groups == 1) return x;
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
        axis(attributes.integer("axis") + (groups == 1 ? 0 : 1)),
        whole(x),
        shape(grouped_shape(x, groups)) {
    for (int d = groups == 1 ? 0 : 1; d < shape.rank(); ++d)
      if (d != axis) reduced.push_back(d);
  }
  ValueId split(ValueId x) const { return b.reshape(x, shape); }
  ValueId joined(ValueId x) const { return b.reshape(x, whole); }
  /// What a reduction left of a value of `shape`, as [groups, C].
  ValueId statistics(ValueId v) const { return b.reshape(v, Shape{groups, shape[static_cast<int>(axis)]}); }
  ValueId over_groups(ValueId v) const {  ///< v: [groups, C]
    return groups == 1 ? over_channels(b.reshape(v, Shape{b.shape(v)[1]})) : b.broadcast_in(v, shape, {0, axis});
  }
  ValueId over_channels(ValueId v) const { return b.broadcast_in(v, shape, {axis}); }  ///< v: [C]
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
  const ValueId x = grouped.split(b.wide(node.inputs[0]));
  const DType type = b.dtype(node.inputs[0]);
  std::vector<ValueId> moments = b.node(Op::moments, {x}, {{"dims", grouped.reduced}});
  for (ValueId& m : moments) m = grouped.statistics(m);
  const ValueId deviation = inverse_deviation(b, moments[1], node.attributes.number("epsilon"));
  const ValueId normal = b.mul(b.sub(x, grouped.over_groups(moments[0])), grouped.over_groups(deviation));
  const auto over_channels = [&](int i) {
    return grouped.over_channels(b.wide(node.inputs[static_cast<std::size_t>(i)]));
  };
  const ValueId y = b.add(b.mul(normal, over_channels(1)), over_channels(2));
  return {grouped.joined(b.cast(y, type)), b.cast(moments[0], type), b.cast(moments[1], type)};
}

/// With n = (x - mean) / deviation: dbias = sum dy, dscale = sum dy n,
/// dx = scale / deviation (dy - mean dy - n mean(dy n)), means over each group's samples.
std::vector<ValueId> decompose_batch_norm_grad(GraphBuilder& b, const Node& node) {
  const Grouped grouped(b, node.attributes, b.shape(node.inputs[1]));
  const DType type = b.dtype(node.inputs[0]);
  const ValueId dy = grouped.split(b.wide(node.inputs[0])), x = grouped.split(b.wide(node.inputs[1]));
  const ValueId deviation =
      grouped.over_groups(inverse_deviation(b, b.wide(node.inputs[4]), node.attributes.number("epsilon")));
  const ValueId normal = b.mul(b.sub(x, grouped.over_groups(b.wide(node.inputs[3]))), deviation);
  const ValueId dy_normal = b.mul(dy, normal);
  const ValueId sum_dy = grouped.statistics(b.reduce(Op::reduce_sum, dy, grouped.reduced));
  const ValueId sum_dy_normal = grouped.statistics(b.reduce(Op::reduce_sum, dy_normal, grouped.reduced));
  const double count =
      static_cast<double>(grouped.shape.elements()) / std::max(1.0, static_cast<double>(b.shape(sum_dy).elements()));
  const auto mean = [&](ValueId sum) { return grouped.over_groups(b.div(sum, b.like(sum, count))); };
  const ValueId centred = b.sub(b.sub(dy, mean(sum_dy)), b.mul(normal, mean(sum_dy_normal)));
  const ValueId dx = b.mul(b.mul(grouped.over_channels(b.wide(node.inputs[2])), deviation), centred);
  const auto over_groups = [&](ValueId sum) { return b.cast(b.reduce(Op::reduce_sum, sum, {0}), type); };
  return {grouped.joined(b.cast(dx, type)), over_groups(sum_dy_normal), over_groups(sum_dy)};
}

/// (x - mean) / deviation over the dimensions from `axis` up, wide.
struct LayerNormal {
  Dims dims;                                 ///< the normalised ones
  ValueId deviation = kNone, value = kNone;  ///< deviation: its inverse

  LayerNormal(GraphBuilder& b, const Node& node) {
    const ValueId x = b.wide(node.inputs[0]);
    Shape kept = b.shape(x);
    for (auto d = static_cast<int>(node.attributes.integer("axis")); d < kept.rank(); ++d) {
      dims.push_back(d);
      kept = kept.with(d, 1);
    }
    const std::vector<ValueId> moments = b.node(Op::moments, {x}, {{"dims", dims}});
    deviation = b.reshape(inverse_deviation(b, moments[1], node.attributes.number("epsilon")), kept);
    value = b.mul(b.sub(x, b.reshape(moments[0], kept)), deviation);
  }
};

std::vector<ValueId> decompose_layer_norm(GraphBuilder& b, const Node& node) {
  const ValueId normal = b.cast(LayerNormal(b, node).value, b.dtype(node.inputs[0]));
  return {b.add(b.mul(normal, node.inputs[1]), node.inputs[2])};
}

/// dmean / n + dvariance 2 (x - mean) / n, where `over` spreads a statistic over x. Either may be kNone.
ValueId moments_gradient(GraphBuilder& b, ValueId x, ValueId mean, ValueId dmean, ValueId dvariance,
                         const std::function<ValueId(ValueId)>& over) {
  const double count =
      static_cast<double>(b.shape(x).elements()) / std::max(1.0, static_cast<double>(b.shape(mean).elements()));
  const auto scaled = [&](ValueId v, double factor) { return b.mul(v, b.like(v, factor)); };
  ValueId dx = kNone;
  if (dmean != kNone) dx = over(scaled(dmean, 1 / count));
  if (dvariance != kNone) {
    const ValueId term = b.mul(b.sub(x, over(mean)), over(scaled(dvariance, 2 / count)));
    dx = dx == kNone ? term : b.add(dx, term);
  }
  return dx;
}

std::vector<ValueId> gradient_moments(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const Dims& dims = c.node.attributes.integers("dims");
  const Shape& shape = b.shape(c.operand(0));
  Dims kept;
  for (int d = 0; d < shape.rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) kept.push_back(d);
  return {moments_gradient(b, c.operand(0), c.result(0), c.grad(0), c.grad(1),
                           [&](ValueId v) { return dims.empty() ? v : b.broadcast_in(v, shape, kept); })};
}

std::vector<ValueId> gradient_batch_norm(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  std::vector<ValueId> grads(3, kNone);
  if (c.grad(0) != kNone)
    grads = b.node(Op::batch_norm_grad, {c.grad(0), c.operand(0), c.operand(1), c.result(1), c.result(2)},
                   c.node.attributes);
  if (c.grad(1) != kNone || c.grad(2) != kNone) {
    const Grouped grouped(b, c.node.attributes, b.shape(c.operand(0)));
    const ValueId term = grouped.joined(moments_gradient(b, grouped.split(c.operand(0)), c.result(1), c.grad(1),
                                                         c.grad(2), [&](ValueId v) { return grouped.over_groups(v); }));
    grads[0] = grads[0] == kNone ? term : b.add(grads[0], term);
  }
  return grads;
}

/// With n = (x - mean) / deviation and g = dy scale: dx = (g - mean g - n mean(g n)) / deviation.
std::vector<ValueId> gradient_layer_norm(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const LayerNormal normal(b, c.node);
  const DType type = b.dtype(c.operand(0));
  const ValueId dy = b.wide(c.grad()), dy_normal = b.mul(dy, normal.value);
  const ValueId g = b.mul(dy, b.wide(c.operand(1)));
  const ValueId mean_g = b.mean(g, normal.dims, true), mean_gn = b.mean(b.mul(g, normal.value), normal.dims, true);
  const ValueId dx = b.mul(b.sub(b.sub(g, mean_g), b.mul(normal.value, mean_gn)), normal.deviation);
  Dims leading;
  for (std::int64_t d = 0; d < c.node.attributes.integer("axis"); ++d) leading.push_back(d);
  const auto over_samples = [&](ValueId v) {
    return b.cast(leading.empty() ? v : b.reduce(Op::reduce_sum, v, leading), type);
  };
  return {b.cast(dx, type), over_samples(dy_normal), over_samples(dy)};
}

}  // namespace

std::vector<OpRules> normalisation_rules() {
  return {
      {.op = Op::moments, .infer = infer_moments, .gradient = gradient_moments, .decompose = decompose_moments},
      {.op = Op::batch_norm,
       .infer = infer_batch_norm,
       .gradient = gradient_batch_norm,
       .decompose = decompose_batch_norm},
      {.op = Op::batch_norm_grad, .infer = infer_batch_norm_grad, .decompose = decompose_batch_norm_grad},
      {.op = Op::layer_norm,
       .infer = infer_layer_norm,
       .gradient = gradient_layer_norm,
       .decompose = decompose_layer_norm},
  };
}

}  // namespace weft::ops
