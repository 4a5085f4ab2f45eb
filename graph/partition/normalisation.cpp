// Statistics over samples of several ranks: local moments, then one all-reduce of n * mean and n * (variance + mean^2)
// in f64, from which the variance does not cancel: in exact arithmetic their combination is the pooled variance of the
// ranks' moments, and f64 leaves 29 bits more than f32 to lose.
#include "graph/partition/normalisation.hpp"

#include <algorithm>

#include "weft/error.hpp"

namespace weft {
namespace {

/// Mean and biased variance, of the shape and type asked for.
struct Statistics {
  ValueId mean = kNone, variance = kNone;
};

ValueId scaled(GraphBuilder& b, ValueId x, double factor) { return b.mul(x, b.full(b.dtype(x), {}, factor)); }

/// [rows, 2k] f64: n * mean beside n * (variance + mean^2), from moments [rows, k] over n values each.
ValueId packed_sums(GraphBuilder& b, const Statistics& s, double n) {
  const ValueId mean = b.cast(s.mean, DType::f64), variance = b.cast(s.variance, DType::f64);
  const ValueId second = b.add(variance, b.mul(mean, mean));
  return b.concat({scaled(b, mean, n), scaled(b, second, n)}, 1);
}

/// Column block `part` of two of x [rows, 2k].
ValueId half(GraphBuilder& b, ValueId x, std::int64_t part) {
  const std::int64_t rows = b.shape(x)[0], k = b.shape(x)[1] / 2;
  return b.slice(x, {0, part * k}, {rows, (part + 1) * k}, {1, 1});
}

/// The inverse of packed_sums after summation, over `n` values each, in `type`.
Statistics unpacked(GraphBuilder& b, ValueId sums, double n, DType type) {
  const ValueId mean = scaled(b, half(b, sums, 0), 1 / n);
  const ValueId spread = b.sub(scaled(b, half(b, sums, 1), 1 / n), b.mul(mean, mean));
  const ValueId variance = b.binary(Op::maximum, spread, b.full(DType::f64, {}, 0));
  return {b.cast(mean, type), b.cast(variance, type)};
}

double product(const Shape& shape, const Dims& dims) {
  double n = 1;
  for (const std::int64_t d : dims) n *= static_cast<double>(shape[static_cast<int>(d)]);
  return n;
}

/// Packed sums of x over `dims` as one row; zeros where this rank has nothing (moments of nothing are NaN).
ValueId row_sums(GraphBuilder& b, ValueId x, const Dims& dims) {
  const Shape shape = b.shape(x);
  const double n = product(shape, dims);
  Dims kept;
  for (int d = 0; d < shape.rank(); ++d)
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) kept.push_back(shape[d]);
  const std::int64_t k = Shape(kept).elements();
  if (n == 0) {  // made of x nevertheless: what depends on what is alike on all ranks
    const ValueId nothing = b.reshape(b.reduce(Op::reduce_sum, b.cast(x, DType::f64), dims), Shape{1, k});
    return b.concat({nothing, nothing}, 1);
  }
  const std::vector<ValueId> m = b.node(Op::moments, {x}, {{"dims", dims}});
  return packed_sums(b, {b.reshape(m[0], Shape{1, k}), b.reshape(m[1], Shape{1, k})}, n);
}

/// A batch norm over x [n, ..., C at axis, ...] whose groups of samples span ranks. Statistics are [groups, C].
class SpanningGroups {
 public:
  SpanningGroups(LocalGraph& local, const Node& node, ValueId x, const Shape& global_shape, const AxisPlacement& placed)
      : local_(local), b_(local.builder()), shape_(b_.shape(x)), axis_(node.attributes.integer("axis")) {
    groups_ = node.attributes.integer("groups");
    epsilon_ = node.attributes.number("epsilon");
    for (int d = 1; d < shape_.rank(); ++d)
      if (d != axis_) inner_.push_back(d);
    group_ = global_shape[0] / groups_;
    elements_ = static_cast<double>(group_) * product(shape_, inner_);
    if (groups_ > 1) {  // the group of each of this rank's samples
      const ValueId samples = local.indices(placed);
      members_ = b_.div(samples, b_.full(DType::i64, {}, static_cast<double>(group_)));
    }
  }

  double elements() const { return elements_; }  ///< of one channel in one group, over all ranks

  /// Statistics or factors [groups, C] for every element of this rank's x.
  ValueId rows(ValueId v) const {
    if (groups_ == 1) return b_.broadcast_in(b_.reshape(v, Shape{b_.shape(v)[1]}), shape_, {axis_});
    return b_.broadcast_in(b_.one(Op::gather, {v, members_}, {{"axis", std::int64_t{0}}}), shape_, {0, axis_});
  }

  Statistics statistics(ValueId x) const {
    const ValueId sums = groups_ == 1 ? row_sums(b_, x, samples_and_inner()) : by_group(sample_sums(x));
    return unpacked(b_, local_.all_reduce(sums), elements_, b_.dtype(x));
  }

  /// Sums of two tensors like x over each group: [groups, 2C].
  ValueId pair_sums(ValueId x, ValueId y) const {
    const Dims dims = groups_ == 1 ? samples_and_inner() : inner_;
    const auto sum = [&](ValueId v) {
      const ValueId s = dims.empty() ? v : b_.reduce(Op::reduce_sum, v, dims);
      return groups_ == 1 ? b_.reshape(s, Shape{1, b_.shape(s).elements()}) : s;
    };
    const ValueId both = b_.concat({sum(x), sum(y)}, 1);
    return local_.all_reduce(groups_ == 1 ? both : by_group(both));
  }

  /// 1 / sqrt(variance + epsilon).
  ValueId inverse_deviation(ValueId variance) const {
    return b_.unary(Op::rsqrt, b_.add(variance, b_.full(b_.dtype(variance), {}, epsilon_)));
  }

 private:
  Dims samples_and_inner() const {
    Dims dims{0};
    for (const std::int64_t d : inner_) dims.push_back(d);
    return dims;
  }

  /// Packed sums of each sample: [n, 2C].
  ValueId sample_sums(ValueId x) const {
    if (inner_.empty()) return packed_sums(b_, {x, b_.like(x, 0)}, 1);
    const std::vector<ValueId> m = b_.node(Op::moments, {x}, {{"dims", inner_}});
    return packed_sums(b_, {m[0], m[1]}, product(shape_, inner_));
  }

  ValueId by_group(ValueId per_sample) const {
    const Dims shape{groups_, b_.shape(per_sample)[1]};
    return b_.one(Op::scatter_add, {members_, per_sample}, {{"axis", std::int64_t{0}}, {"shape", shape}});
  }

  LocalGraph& local_;
  GraphBuilder& b_;
  Shape shape_;  ///< of this rank's x
  std::int64_t axis_, groups_ = 1, group_ = 1;
  double epsilon_ = 0, elements_ = 0;
  Dims inner_;  ///< dimensions that are neither samples nor channels
  ValueId members_ = kNone;
};

}  // namespace

std::vector<ValueId> append_local_moments(LocalGraph& local, const Node& node, const AxisPlacement& x) {
  GraphBuilder& b = local.builder();
  const ValueId part = local.get(node.inputs[0], x);
  const Dims& dims = node.attributes.integers("dims");
  const TensorType result = local.global().type(node.outputs[0]);
  const ValueId sums = local.all_reduce(row_sums(b, part, dims));
  const double n = product(local.global().type(node.inputs[0]).shape, dims);
  const Statistics s = unpacked(b, sums, n, result.dtype);
  return {b.reshape(s.mean, result.shape), b.reshape(s.variance, result.shape)};
}

std::vector<ValueId> append_local_batch_norm(LocalGraph& local, const Node& node, const AxisPlacement& x) {
  GraphBuilder& b = local.builder();
  const ValueId part = local.get(node.inputs[0], x);
  const ValueId scale = local.get_whole(node.inputs[1]), bias = local.get_whole(node.inputs[2]);
  const SpanningGroups groups(local, node, part, local.global().type(node.inputs[0]).shape, x);
  const Statistics s = groups.statistics(part);
  const ValueId factor = b.mul(groups.inverse_deviation(s.variance), scale);
  const ValueId centred = b.sub(part, groups.rows(s.mean));
  const ValueId shift = b.broadcast_in(bias, b.shape(part), {node.attributes.integer("axis")});
  return {b.add(b.mul(centred, groups.rows(factor)), shift), s.mean, s.variance};
}

std::vector<ValueId> append_local_batch_norm_grad(LocalGraph& local, const Node& node, const AxisPlacement& x) {
  GraphBuilder& b = local.builder();
  const ValueId dy = local.get(node.inputs[0], x), part = local.get(node.inputs[1], x);
  const ValueId scale = local.get_whole(node.inputs[2]);
  const ValueId mean = local.get_whole(node.inputs[3]), variance = local.get_whole(node.inputs[4]);
  const SpanningGroups groups(local, node, part, local.global().type(node.inputs[1]).shape, x);
  const ValueId inverse = groups.inverse_deviation(variance);
  const ValueId normal = b.mul(b.sub(part, groups.rows(mean)), groups.rows(inverse));
  const ValueId sums = groups.pair_sums(dy, b.mul(dy, normal));
  const ValueId dy_sum = half(b, sums, 0), dy_normal_sum = half(b, sums, 1);
  const ValueId dy_mean = scaled(b, dy_sum, 1 / groups.elements());
  const ValueId dy_normal_mean = scaled(b, dy_normal_sum, 1 / groups.elements());
  const ValueId rest = b.sub(b.sub(dy, groups.rows(dy_mean)), b.mul(normal, groups.rows(dy_normal_mean)));
  const ValueId dx = b.mul(rest, groups.rows(b.mul(inverse, scale)));
  return {dx, b.reduce(Op::reduce_sum, dy_normal_sum, {0}), b.reduce(Op::reduce_sum, dy_sum, {0})};
}

}  // namespace weft
