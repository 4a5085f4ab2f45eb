// Normalisations and dropout.
#include <fmt/format.h>

#include <numeric>

#include "graph/onnx/ops/table.hpp"
#include "graph/onnx/ops/window.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

Dims dims_from(int first, int rank) {
  Dims dims;
  for (int d = first; d < rank; ++d) dims.push_back(d);
  return dims;
}

/// x minus its mean, over the root of its variance, over `dims`; `inverse` and `mean` are reported when asked for.
ValueId standardized(GraphBuilder& b, ValueId x, const Dims& dims, double epsilon, ValueId* mean_out = nullptr,
                     ValueId* inverse_out = nullptr) {
  const ValueId mean = b.mean(x, dims, true);
  const ValueId centred = b.sub(x, mean);
  const ValueId variance = b.mean(b.mul(centred, centred), dims, true);
  const ValueId inverse = b.unary(Op::rsqrt, b.add(variance, b.like(variance, epsilon)));
  if (mean_out != nullptr) *mean_out = mean;
  if (inverse_out != nullptr) *inverse_out = inverse;
  return b.mul(centred, inverse);
}

/// Batch statistics in the file itself: y, and the running statistics moved towards the batch's.
Values batch_norm_training(OpContext& c, double epsilon, double momentum) {
  GraphBuilder& b = c.b;
  const std::vector<ValueId> parts =
      b.node(Op::batch_norm, {c.in(0), c.in(1), c.in(2)},
             {{"axis", std::int64_t{1}}, {"epsilon", epsilon}, {"groups", std::int64_t{1}}});
  const auto moved = [&](int running, ValueId batch) {
    const ValueId old = c.in(running);
    const ValueId fresh = b.cast(b.reshape(batch, b.shape(old)), b.dtype(old));
    return b.add(b.mul(old, b.like(old, momentum)), b.mul(fresh, b.like(fresh, 1 - momentum)));
  };
  return {parts[0], moved(3, parts[1]), moved(4, parts[2])};
}

Values import_batch_norm(OpContext& c) {
  const double epsilon = c.number("epsilon", 1e-5), momentum = c.number("momentum", 0.9);
  const bool training = c.version() >= 14 ? c.integer("training_mode", 0) != 0
                        : c.version() < 7 ? c.integer("is_test", 0) == 0 && c.wants(1)
                                          : c.wants(1);
  if (c.version() < 9 && c.integer("spatial", 1) == 0)
    OpContext::unsupported("spatial=0 (one statistic per activation) is not supported");
  // Where the model itself reads the new statistics, its training form is meant literally. Elsewhere the verb decides,
  // not the exporter's setting: training replaces the inference form and updates the running statistics.
  if (training && (c.wants(1) || c.wants(2))) return batch_norm_training(c, epsilon, momentum);
  return {
      c.b.one(Op::batch_norm, {c.in(0), c.in(1), c.in(2), c.in(3), c.in(4)},
              {{"axis", std::int64_t{1}}, {"epsilon", epsilon}, {"momentum", momentum}, {"groups", std::int64_t{0}}})};
}

Values import_instance_norm(OpContext& c) {
  const Shape shape = c.shape(0);
  if (shape.rank() < 3) OpContext::unsupported("the operand needs a batch, a channel and a spatial dimension");
  const ValueId normal = standardized(c.b, c.b.wide(c.in(0)), dims_from(2, shape.rank()), c.number("epsilon", 1e-5));
  const ValueId y = c.b.cast(normal, c.dtype(0));
  return {c.b.add(c.b.mul(y, over_channels(c.b, c.in(1), shape)), over_channels(c.b, c.in(2), shape))};
}

/// Statistics are taken in f32 or better (`stash_type`); y has the operand's type.
Values import_layer_norm(OpContext& c) {
  GraphBuilder& b = c.b;
  const int rank = c.rank(0), axis = c.axis(-1, rank);
  const double epsilon = c.number("epsilon", 1e-5);
  const DType type = c.dtype(0);
  const Dims& extents = c.shape(0).extents();
  const Shape normalized(Dims(extents.begin() + axis, extents.end()));
  const bool fits = c.shape(1) == normalized && (!c.has(2) || c.shape(2) == normalized);
  if (fits && !c.wants(1) && !c.wants(2)) {
    const ValueId bias = c.has(2) ? c.in(2) : b.full(type, normalized, 0);
    return {b.one(Op::layer_norm, {c.in(0), c.in(1), bias}, {{"axis", std::int64_t{axis}}, {"epsilon", epsilon}})};
  }
  const DType wide = type == DType::f64 ? type : DType::f32;
  ValueId mean = kNone, inverse = kNone;
  const ValueId y = standardized(b, b.cast(c.in(0), wide), dims_from(axis, rank), epsilon, &mean, &inverse);
  ValueId result = b.mul(b.cast(y, type), c.in(1));
  if (c.has(2)) result = b.add(result, c.in(2));
  return {result, mean, inverse};
}

Values import_rms_norm(OpContext& c) {
  GraphBuilder& b = c.b;
  const int rank = c.rank(0), axis = c.axis(-1, rank);
  const DType type = c.dtype(0), wide = type == DType::f64 ? type : DType::f32;
  const ValueId x = b.cast(c.in(0), wide);
  const ValueId square = b.mean(b.mul(x, x), dims_from(axis, rank), true);
  const ValueId inverse = b.unary(Op::rsqrt, b.add(square, b.like(square, c.number("epsilon", 1e-5))));
  return {b.mul(b.cast(b.mul(x, inverse), type), c.in(1))};
}

Values import_group_norm(OpContext& c) {
  GraphBuilder& b = c.b;
  const Shape shape = c.shape(0);
  const std::int64_t groups = c.integer("num_groups", 0);
  if (shape.rank() < 3 || groups <= 0 || shape[1] % groups != 0)
    OpContext::unsupported(fmt::format("{} channels cannot be cut into {} groups", shape.str(), groups));
  Dims grouped = {shape[0], groups, shape[1] / groups};
  grouped.insert(grouped.end(), shape.begin() + 2, shape.end());
  const DType type = c.dtype(0), wide = type == DType::f64 ? type : DType::f32;
  ValueId y = b.reshape(b.cast(c.in(0), wide), Shape(grouped));
  y = standardized(b, y, dims_from(2, static_cast<int>(grouped.size())), c.number("epsilon", 1e-5));
  y = b.cast(b.reshape(y, shape), type);
  const auto per_channel = [&](int i) {
    ValueId v = c.in(i);
    // Until opset 20 there was one entry per group.
    if (b.shape(v).elements() == groups && groups != shape[1])
      v = b.reshape(b.broadcast_in(v, Shape{groups, shape[1] / groups}, {0}), Shape{shape[1]});
    return over_channels(b, v, shape);
  };
  return {b.add(b.mul(y, per_channel(1)), per_channel(2))};
}

Values import_mean_variance_norm(OpContext& c) {
  Dims dims;
  for (const std::int64_t axis : c.integers("axes", {0, 2, 3})) dims.push_back(normalize_axis(axis, c.rank(0)));
  // The reference adds its epsilon to the standard deviation.
  GraphBuilder& b = c.b;
  const ValueId x = b.wide(c.in(0)), centred = b.sub(x, b.mean(x, dims, true));
  const ValueId deviation = b.unary(Op::sqrt, b.mean(b.mul(centred, centred), dims, true));
  return {b.cast(b.div(centred, b.add(deviation, b.like(deviation, 1e-9))), c.dtype(0))};
}

Values import_lp_norm(OpContext& c) {
  GraphBuilder& b = c.b;
  const int axis = c.axis(-1, c.rank(0));
  const std::int64_t p = c.integer("p", 2);
  if (p != 1 && p != 2) OpContext::unsupported("p must be 1 or 2");
  const ValueId x = b.wide(c.in(0));
  ValueId norm = b.reduce(Op::reduce_sum, p == 1 ? b.unary(Op::abs, x) : b.mul(x, x), {axis}, true);
  if (p == 2) norm = b.unary(Op::sqrt, norm);
  const ValueId zero = b.binary(Op::equal, norm, b.like(norm, 0));
  return {b.cast(b.div(x, b.select(zero, b.like(norm, 1), norm)), c.dtype(0))};
}

/// Local response normalisation: a window of `size` channels.
Values import_lrn(OpContext& c) {
  GraphBuilder& b = c.b;
  const auto rank = static_cast<std::size_t>(c.rank(0));
  const std::int64_t size = c.integer("size", 0);
  if (rank < 3 || size < 1 || size > (1 << 30)) OpContext::unsupported("needs channels and a positive size");
  PoolWindow w{Dims(rank, 1), Dims(rank, 1), Dims(rank, 0), Dims(rank, 0), Dims(rank, 1)};
  w.window[1] = size, w.pads_low[1] = (size - 1) / 2, w.pads_high[1] = size - 1 - w.pads_low[1];
  const ValueId x = c.in(0), sum = b.pool(Op::reduce_window_sum, b.mul(x, x), w);
  const double alpha = c.number("alpha", 1e-4), beta = c.number("beta", 0.75);
  const ValueId base =
      b.add(b.mul(sum, b.like(sum, alpha / static_cast<double>(size))), b.like(sum, c.number("bias", 1)));
  return {b.div(x, b.binary(Op::pow, base, b.like(base, beta)))};
}

Values import_dropout(OpContext& c) {
  double ratio = c.number("ratio", 0.5);
  if (c.version() >= 12) ratio = c.has(1) ? c.constant(1, "the ratio").as_double(0) : 0.5;
  const bool training = c.version() >= 12 && c.has(2) && c.constant(2, "training_mode").as_int(0) != 0;
  if (!(ratio >= 0 && ratio < 1)) OpContext::unsupported(fmt::format("ratio {} is outside [0, 1)", ratio));
  if (training && c.wants(1) && ratio > 0)
    OpContext::unsupported("its mask is random in training mode, and the file does not define the random numbers");
  const Attributes attributes = {
      {"ratio", ratio}, {"id", std::int64_t{0}}, {"sample_dim", std::int64_t{c.rank(0) > 0 ? 0 : -1}}};
  // Without a training run around it a dropout is the identity; training replaces the node by one that draws.
  Values results = {c.b.one(Op::dropout, {c.in(0)}, attributes)};
  if (c.wants(1)) {
    const DType mask = c.version() >= 10 ? DType::boolean : c.dtype(0);
    results.push_back(c.b.full(mask, c.shape(0), 1));
  }
  return results;
}

constexpr OpRow kNormalizationRows[] = {
    {"BatchNormalization", import_batch_norm},
    {"InstanceNormalization", import_instance_norm, 6},
    {"LayerNormalization", import_layer_norm},
    {"RMSNormalization", import_rms_norm},
    {"GroupNormalization", import_group_norm},
    {"MeanVarianceNormalization", import_mean_variance_norm},
    {"LpNormalization", import_lp_norm},
    {"LRN", import_lrn},
    {"Dropout", import_dropout},
};

}  // namespace

std::span<const OpRow> normalization_rows() { return kNormalizationRows; }

}  // namespace weft::onnx
