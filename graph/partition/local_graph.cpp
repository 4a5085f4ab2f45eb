// Conversions between placements.
#include "graph/partition/local_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

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
  if (is_split(placement))
    type.shape = type.shape.with(placement.dimension, placement.extents.at(static_cast<std::size_t>(coordinate_)));
  return type;
}

void LocalGraph::define(ValueId v, ValueId local) {
  if (placements_.reduced.count(v) != 0) local = all_reduce(local);
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

ValueId LocalGraph::all_reduce(ValueId local) {
  return builder_.one(Op::all_reduce, {local},
                      {{"axes", std::vector<std::string>{axis_.name}}, {"kind", std::string("sum")}});
}

ValueId LocalGraph::first_index(const Dims& extents) {
  ValueId offset = builder_.graph().find_input(kRankSampleOffset);
  if (offset == kNone) offset = builder_.input(kRankSampleOffset, InputRole::scalar, {DType::i64, {}});
  const std::int64_t total = std::accumulate(extents.begin(), extents.end(), std::int64_t{0});
  const auto number = [&](std::int64_t n) { return builder_.constant(Tensor::scalar<std::int64_t>(n)); };
  // Every cut follows that of the samples: each sample has several indices, or several samples share one.
  const bool several = axis_.samples > 0 && total % axis_.samples == 0;
  const std::int64_t factor = several ? total / axis_.samples : axis_.samples / std::max<std::int64_t>(total, 1);
  const Dims samples = split_evenly(axis_.samples, axis_.size);
  for (std::size_t r = 0; r < extents.size(); ++r)
    check_internal(several ? extents[r] == samples[r] * factor : extents[r] * factor == samples[r],
                   "partition: a dimension is cut otherwise than the samples");
  if (factor == 1) return offset;
  return several ? builder_.mul(offset, number(factor)) : builder_.div(offset, number(factor));
}

ValueId LocalGraph::indices(const Dims& extents) {
  const Shape shape{extents.at(static_cast<std::size_t>(coordinate_))};
  return builder_.add(builder_.iota(DType::i64, shape, 0), first_index(extents));
}

ValueId LocalGraph::cut(ValueId v, const AxisPlacement& wanted) {
  const auto key = std::make_pair(v, wanted.dimension);
  const auto found = cuts_.find(key);
  if (found != cuts_.end()) return found->second;
  ValueId part = kNone;
  if (const Node* node = global_.producer(v); node != nullptr && is_replicated(placement(v)))
    part = cut_producer(*node, wanted);
  if (part == kNone) {
    const ValueId whole = is_split(placement(v)) ? join(v) : own(v);
    part = builder_.one(Op::gather, {whole, indices(wanted.extents)}, {{"axis", std::int64_t{wanted.dimension}}});
  }
  cuts_.emplace(key, part);
  return part;
}

/// A whole value as a sum over ranks: the first rank's, which is the one whose samples start at 0, and zeros.
ValueId LocalGraph::share(ValueId v) {
  const ValueId all = get_whole(v);
  const ValueId offset = first_index(split_evenly(axis_.samples, axis_.size));
  return builder_.select(builder_.binary(Op::equal, offset, builder_.like(offset, 0)), all, builder_.like(all, 0));
}

/// Makes the part directly where that is cheaper than cutting it out of the whole; kNone where there is no way.
ValueId LocalGraph::cut_producer(const Node& node, const AxisPlacement& wanted) {
  if (placements_.reduced.count(node.outputs.front()) != 0) return kNone;
  if (node.op == Op::broadcast) return cut_broadcast(node, wanted);
  if (is_pointwise(node.op)) return cut_pointwise(node, wanted);
  const ScopedName name(builder_, node.name);
  if (node.op == Op::iota) {
    const TensorType type = local_type(node.outputs.front(), wanted);
    const auto axis = static_cast<int>(node.attributes.integer("axis"));
    const ValueId local = builder_.iota(type.dtype, type.shape, axis);
    return axis == wanted.dimension ? builder_.add(local, builder_.cast(first_index(wanted.extents), type.dtype))
                                    : local;
  }
  if (node.op == Op::random_bits && node.attributes.integer("sample_dim") == wanted.dimension) {
    Attributes attributes = node.attributes;
    attributes.set("shape", local_type(node.outputs.front(), wanted).shape.extents());
    const ValueId offset = builder_.add(get_whole(node.inputs[2]), first_index(wanted.extents));
    return builder_.one(Op::random_bits, {get_whole(node.inputs[0]), get_whole(node.inputs[1]), offset}, attributes);
  }
  return kNone;
}

ValueId LocalGraph::cut_broadcast(const Node& node, const AxisPlacement& wanted) {
  const Dims& dims = node.attributes.integers("dims");
  const Shape& from = global_.type(node.inputs[0]).shape;
  ValueId operand = kNone;
  const auto source = std::find(dims.begin(), dims.end(), wanted.dimension);
  const auto d = static_cast<int>(source - dims.begin());
  if (source == dims.end() || from[d] == 1)
    operand = get_whole(node.inputs[0]);
  else
    operand = get(node.inputs[0], split(d, wanted.extents));
  const ScopedName name(builder_, node.name);
  return builder_.broadcast_in(operand, local_type(node.outputs.front(), wanted).shape, dims);
}

ValueId LocalGraph::cut_pointwise(const Node& node, const AxisPlacement& wanted) {
  Node local = node;
  for (ValueId& v : local.inputs) v = get(v, wanted);
  return builder_.append(std::move(local)).front();
}

/// The whole of a split value: each rank's part at its place among zeros, summed.
ValueId LocalGraph::join(ValueId v) {
  const auto found = joined_.find(v);
  if (found != joined_.end()) return found->second;
  const AxisPlacement& have = placement(v);
  const DType type = global_.type(v).dtype;
  const ValueId part = builder_.cast(own(v), type == DType::boolean ? DType::i32 : type);
  const ValueId spread =
      builder_.one(Op::scatter_add, {indices(have.extents), part},
                   {{"axis", std::int64_t{have.dimension}}, {"shape", global_.type(v).shape.extents()}});
  const ValueId whole = builder_.cast(all_reduce(spread), type);
  joined_.emplace(v, whole);
  return whole;
}

}  // namespace weft
