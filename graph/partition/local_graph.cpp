// Conversions between placements.
#include "graph/partition/local_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "graph/ir/op_rules.hpp"
#include "graph/partition/cut_axis.hpp"
#include "graph/partition/exchanges.hpp"
#include "graph/partition/node_placement.hpp"
#include "graph/partition/partition.hpp"
#include "weft/error.hpp"

namespace weft {

LocalGraph::LocalGraph(const Graph& global, const Placements& placements, const SplitAxis& axis, int coordinate)
    : global_(global),
      placements_(placements),
      axis_(axis),
      coordinate_(coordinate),
      own_(global.values().size(), kNone) {}

TensorType LocalGraph::local_type(ValueId v, const AxisPlacement& placement) const {
  TensorType type = global_.type(v);
  if (is_split(placement)) type.shape = type.shape.with(placement.dimension, placement.local_extent(coordinate_));
  return type;
}

void LocalGraph::define(ValueId v, ValueId local) {
  if (const auto settled = placements_.settled.find(v); settled != placements_.settled.end())
    local = is_split(settled->second) ? reduce_scatter(local, settled->second) : all_reduce(local);
  const TensorType expected = local_type(v, placement(v));
  if (builder_.type(local) != expected)
    throw InternalError(fmt::format("partition: the local part of value {} should be {} but is {}", v, expected.str(),
                                    builder_.type(local).str()));
  own_[static_cast<std::size_t>(v)] = local;
}

ValueId LocalGraph::own(ValueId v) const {
  const ValueId local = own_[static_cast<std::size_t>(v)];
  check_internal(local != kNone, "partition: a value is read before it is made");
  return local;
}

ValueId LocalGraph::get(ValueId v, const AxisPlacement& wanted) {
  const AxisPlacement& have = placement(v);
  if (have == wanted) return own(v);
  if (is_split(have) && !is_partial(wanted)) {
    const ValueId whole = join(v);
    if (is_replicated(wanted)) return whole;
  }
  if (is_split(wanted) && !is_partial(have)) return cut(v, wanted);
  if (is_partial(wanted) && !is_partial(have)) return share(v);
  throw InternalError(fmt::format("partition: no way from {} to {} for value {}", Placement{{have}}.str(),
                                  Placement{{wanted}}.str(), v));
}

ValueId LocalGraph::all_reduce(ValueId local, const std::string& kind) {
  return builder_.one(Op::all_reduce, {local}, {{"axes", std::vector<std::string>{axis_.name}}, {"kind", kind}});
}

ValueId LocalGraph::all_gather(ValueId local) {
  return builder_.one(Op::all_gather, {local},
                      {{"axes", std::vector<std::string>{axis_.name}}, {"size", std::int64_t{axis_.size}}});
}

/// This rank's part, in an order of its own, of the sum of `local`.
ValueId LocalGraph::reduce_scatter(ValueId local, const AxisPlacement& wanted) {
  const int d = wanted.dimension;
  const ValueId parts = to_front(builder_, by_rank(builder_, local, wanted), d);
  const ValueId part = builder_.one(Op::reduce_scatter, {parts},
                                    {{"axes", std::vector<std::string>{axis_.name}},
                                     {"size", std::int64_t{axis_.size}},
                                     {"kind", std::string("sum")}});
  const ValueId back = from_front(builder_, part, d);
  if (wanted.is_even()) return back;
  Dims limit = builder_.shape(back).extents();
  limit[static_cast<std::size_t>(d)] = wanted.local_extent(coordinate_);
  return builder_.slice(back, Dims(limit.size(), 0), limit, Dims(limit.size(), 1));
}

/// i64 scalar: where this rank stands along the axis.
ValueId LocalGraph::coordinate_scalar() {
  const std::string name = coordinate_input(axis_.name);
  const ValueId found = builder_.graph().find_input(name);
  return found != kNone ? found : builder_.input(name, InputRole::scalar, {DType::i64, {}});
}

ValueId LocalGraph::first_index(const AxisPlacement& p) {
  if (axis_.carries_samples()) return first_sample(p);
  const ValueId coordinate = coordinate_scalar();
  if (p.is_even()) return builder_.mul(coordinate, builder_.like(coordinate, static_cast<double>(p.extents.front())));
  std::vector<std::int64_t> firsts(p.extents.size());
  std::exclusive_scan(p.extents.begin(), p.extents.end(), firsts.begin(), std::int64_t{0});
  const ValueId table = builder_.constant(Tensor::from<std::int64_t>(Shape{axis_.size}, firsts));
  return builder_.one(Op::gather, {table, coordinate}, {{"axis", std::int64_t{0}}});
}

ValueId LocalGraph::first_sample(const AxisPlacement& p) {
  const Dims& extents = p.extents;
  ValueId offset = builder_.graph().find_input(kRankSampleOffset);
  if (offset == kNone) offset = builder_.input(kRankSampleOffset, InputRole::scalar, {DType::i64, {}});
  const std::int64_t total = p.block_extent();
  const auto number = [&](std::int64_t n) { return builder_.constant(Tensor::scalar<std::int64_t>(n)); };
  // Every cut follows that of the samples: each sample has several indices, or several samples share one, or several.
  const bool several = axis_.samples > 0 && total % axis_.samples == 0;
  const bool shared = !several && total > 0 && axis_.samples % total == 0;
  const Dims samples = split_evenly(axis_.samples, axis_.size);
  for (std::size_t r = 0; r < extents.size(); ++r)
    check_internal(extents[r] * axis_.samples == samples[r] * total,
                   "partition: a dimension is cut otherwise than the samples");
  if (!several && !shared && total > 0) return builder_.div(builder_.mul(offset, number(total)), number(axis_.samples));
  const std::int64_t factor = several ? total / axis_.samples : axis_.samples / std::max<std::int64_t>(total, 1);
  if (factor == 1) return offset;
  return several ? builder_.mul(offset, number(factor)) : builder_.div(offset, number(factor));
}

ValueId LocalGraph::indices(const AxisPlacement& p) {
  const std::int64_t count = p.extents.at(static_cast<std::size_t>(coordinate_));
  const ValueId first = first_index(p);
  const ValueId block = builder_.add(builder_.iota(DType::i64, Shape{count}, 0), first);
  if (p.blocks == 1) return block;
  std::vector<ValueId> all;
  for (std::int64_t i = 0; i < p.blocks; ++i)
    all.push_back(builder_.add(block, builder_.like(block, static_cast<double>(i * p.block_extent()))));
  return builder_.concat(all, 0);
}

ValueId LocalGraph::cut(ValueId v, const AxisPlacement& wanted) {
  const Cut key{v, wanted.dimension, wanted.extents, wanted.blocks};
  const auto found = cuts_.find(key);
  if (found != cuts_.end()) return found->second;
  ValueId part = kNone;
  if (const Node* node = global_.producer(v); node != nullptr && is_replicated(placement(v)))
    part = cut_producer(*node, wanted);
  if (part == kNone) {
    const ValueId whole = is_split(placement(v)) ? join(v) : own(v);
    part = builder_.one(Op::gather, {whole, indices(wanted)}, {{"axis", std::int64_t{wanted.dimension}}});
  }
  cuts_.emplace(key, part);
  return part;
}

/// A whole value as a sum over ranks: the first rank's, which is the one whose samples start at 0, and zeros.
ValueId LocalGraph::share(ValueId v) {
  const ValueId all = get_whole(v);
  const ValueId place =
      axis_.carries_samples() ? first_sample(split(0, split_evenly(axis_.samples, axis_.size))) : coordinate_scalar();
  return builder_.select(builder_.binary(Op::equal, place, builder_.like(place, 0)), all, builder_.like(all, 0));
}

/// Makes the part directly where that is cheaper than cutting it out of the whole; kNone where there is no way.
ValueId LocalGraph::cut_producer(const Node& node, const AxisPlacement& wanted) {
  if (placements_.settled.count(node.outputs.front()) != 0) return kNone;
  const ScopedName name(builder_, node.name);
  const TensorType type = local_type(node.outputs.front(), wanted);
  if (node.op == Op::iota && wanted.blocks == 1) {
    const auto axis = static_cast<int>(node.attributes.integer("axis"));
    const ValueId local = builder_.iota(type.dtype, type.shape, axis);
    return axis == wanted.dimension ? builder_.add(local, builder_.cast(first_index(wanted), type.dtype)) : local;
  }
  const bool samples = axis_.carries_samples();
  if (node.op == Op::random_bits && wanted.blocks == 1 &&
      (!samples || node.attributes.integer("sample_dim") == wanted.dimension))
    return append_cut_random_bits(*this, node, wanted);
  if (node.op == Op::scatter_add && !samples && wanted.blocks == 1 &&
      node.attributes.integer("axis") == wanted.dimension)
    return append_cut_scatter(*this, node, wanted);
  if (samples && node.op != Op::broadcast && !is_pointwise(node.op)) return kNone;
  const auto operands = operands_of_cut(global_, node, wanted);
  if (!operands) return kNone;
  Node local = node;
  for (std::size_t i = 0; i < local.inputs.size(); ++i) local.inputs[i] = get(node.inputs[i], (*operands)[i]);
  if (node.op == Op::broadcast && !samples && is_replicated((*operands)[0])) drop_repeated(local, wanted.dimension);
  if (node.op == Op::broadcast || node.op == Op::reshape) local.attributes.set("shape", type.shape.extents());
  return builder_.append(std::move(local)).front();
}

/// A broadcast that repeats along a dimension repeats along all of it, one index included: without the dimension of the
/// operand, the next axis cannot take it for the same one on those ranks that have one index only.
void LocalGraph::drop_repeated(Node& broadcast, int dimension) {
  Dims dims = broadcast.attributes.integers("dims");
  const auto source = std::find(dims.begin(), dims.end(), dimension);
  if (source == dims.end()) return;
  Dims extents = builder_.shape(broadcast.inputs[0]).extents();
  extents.erase(extents.begin() + (source - dims.begin()));
  dims.erase(source);
  broadcast.inputs[0] = builder_.reshape(broadcast.inputs[0], Shape(extents));
  broadcast.attributes.set("dims", dims);
}

ValueId LocalGraph::join(ValueId v) {
  const auto found = joined_.find(v);
  if (found != joined_.end()) return found->second;
  const AxisPlacement& have = placement(v);
  const ValueId whole = axis_.carries_samples() ? join_by_sum(v, have) : join_by_gather(v, have);
  joined_.emplace(v, whole);
  return whole;
}

/// Each rank's part at its place among zeros, summed: any rank may have nothing.
ValueId LocalGraph::join_by_sum(ValueId v, const AxisPlacement& have) {
  const DType type = global_.type(v).dtype;
  const ValueId part = builder_.cast(own(v), type == DType::boolean ? DType::i32 : type);
  const ValueId spread =
      builder_.one(Op::scatter_add, {indices(have), part},
                   {{"axis", std::int64_t{have.dimension}}, {"shape", global_.type(v).shape.extents()}});
  return builder_.cast(all_reduce(spread), type);
}

ValueId LocalGraph::join_by_gather(ValueId v, const AxisPlacement& have) {
  const ValueId part = to_front(builder_, padded(builder_, own(v), have), have.dimension);
  return in_order(builder_, from_front(builder_, all_gather(part), have.dimension), have);
}

}  // namespace weft
