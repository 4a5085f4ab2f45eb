// Local forms along the cut dimension.
#include "graph/partition/cut_axis.hpp"

#include <algorithm>
#include <limits>

#include "graph/ir/ops/placement.hpp"

namespace weft {
namespace {

bool is_extremum(Op op) { return op == Op::reduce_max || op == Op::reduce_min; }
bool is_index_of_extremum(Op op) { return op == Op::argmax || op == Op::argmin; }

/// Which of whole numbers `v` are in [0, extent).
ValueId inside(GraphBuilder& b, ValueId v, std::int64_t extent) {
  return b.binary(Op::logical_and, b.binary(Op::greater_equal, v, b.like(v, 0)),
                  b.binary(Op::less, v, b.like(v, static_cast<double>(extent))));
}

/// `indices` (of any integer type) as counted from this rank's first.
ValueId from_first(LocalGraph& local, ValueId indices, const AxisPlacement& p) {
  return local.builder().sub(local.builder().cast(indices, DType::i64), local.first_index(p));
}

/// The rows that this rank has, zeros for the others, and NaN for those that no rank has.
std::vector<ValueId> append_gather(LocalGraph& local, const Node& node, const AxisPlacement& x) {
  GraphBuilder& b = local.builder();
  const ValueId table = local.get(node.inputs[0], x), indices = local.get_whole(node.inputs[1]);
  const std::int64_t axis = node.attributes.integer("axis");
  const ValueId here = from_first(local, indices, x);
  const ValueId rows = b.one(Op::gather, {table, here}, {{"axis", axis}});
  const Shape shape = b.shape(rows);
  Dims along;
  for (int d = 0; d < b.shape(here).rank(); ++d) along.push_back(axis + d);
  const auto for_rows = [&](ValueId v) { return b.broadcast_in(v, shape, along); };
  const ValueId mine = inside(b, here, b.shape(table)[static_cast<int>(axis)]);
  ValueId others = b.like(rows, 0);
  if (is_float(b.dtype(rows))) {
    const ValueId known = inside(b, b.cast(indices, DType::i64), x.block_extent());
    others = b.select(for_rows(known), others, b.like(rows, std::numeric_limits<double>::quiet_NaN()));
  }
  return {b.select(for_rows(mine), rows, others)};
}

std::vector<ValueId> append_extremum(LocalGraph& local, const Node& node, const AxisPlacement& x) {
  const ValueId part = local.builder().reduce(node.op, local.get(node.inputs[0], x), node.attributes.integers("dims"));
  return {local.all_reduce(part, node.op == Op::reduce_max ? "max" : "min")};
}

/// Each rank's extremum and its index, then the extremum of these: ranks are in the order of their indices.
std::vector<ValueId> append_index_of_extremum(LocalGraph& local, const Node& node, const AxisPlacement& x) {
  GraphBuilder& b = local.builder();
  const ValueId part = local.get(node.inputs[0], x);
  const std::int64_t axis = node.attributes.integer("axis");
  const ValueId index = b.one(node.op, {part}, node.attributes);
  const Shape kept = b.shape(part).with(static_cast<int>(axis), 1), result = b.shape(index);
  Dims extents = result.extents();
  extents.insert(extents.begin(), 1);
  const Shape row(extents);
  const ValueId value = b.one(Op::gather_elements, {part, b.reshape(index, kept)}, {{"axis", axis}});
  const ValueId values = local.all_gather(b.reshape(value, row));
  const ValueId indices = local.all_gather(b.reshape(b.add(index, local.first_index(x)), row));
  Attributes over_ranks = node.attributes;
  over_ranks.set("axis", std::int64_t{0});
  const ValueId best = b.reshape(b.one(node.op, {values}, over_ranks), row);
  return {b.reshape(b.one(Op::gather_elements, {indices, best}, {{"axis", std::int64_t{0}}}), result)};
}

}  // namespace

std::optional<NodePlacement> place_along_cut(const Graph& graph, const Node& node,
                                             const std::vector<AxisPlacement>& given) {
  if (given.empty() || !is_split(given[0])) return std::nullopt;
  const AxisPlacement& x = given[0];
  if (is_extremum(node.op) && ops::contains(node.attributes.integers("dims"), x.dimension))
    return NodePlacement{{x}, {replicated()}};
  if (x.blocks != 1 || std::count(x.extents.begin(), x.extents.end(), 0) != 0) return std::nullopt;
  const bool adds_up = graph.type(node.outputs[0]).dtype != DType::boolean;
  if (node.op == Op::gather && adds_up && node.attributes.integer("axis") == x.dimension)
    return NodePlacement{{x, replicated()}, {partial()}};
  if (is_index_of_extremum(node.op) && node.attributes.integer("axis") == x.dimension)
    return NodePlacement{{x}, {replicated()}};
  return std::nullopt;
}

std::vector<ValueId> append_along_cut(LocalGraph& local, const Node& node, const AxisPlacement& x) {
  if (node.op == Op::gather) return append_gather(local, node, x);
  return is_extremum(node.op) ? append_extremum(local, node, x) : append_index_of_extremum(local, node, x);
}

ValueId append_cut_scatter(LocalGraph& local, const Node& node, const AxisPlacement& wanted) {
  Attributes attributes = node.attributes;
  attributes.set("shape", local.local_type(node.outputs[0], wanted).shape.extents());
  const ValueId indices = from_first(local, local.get_whole(node.inputs[0]), wanted);
  return local.builder().one(Op::scatter_add, {indices, local.get_whole(node.inputs[1])}, attributes);
}

ValueId append_cut_random_bits(LocalGraph& local, const Node& node, const AxisPlacement& wanted) {
  GraphBuilder& b = local.builder();
  std::vector<ValueId> operands;
  for (const ValueId v : node.inputs) operands.push_back(local.get_whole(v));
  Attributes attributes = node.attributes;
  const Dims whole = node.attributes.integers("shape");
  attributes.set("shape", local.local_type(node.outputs[0], wanted).shape.extents());
  const ValueId first = local.first_index(wanted);
  if (node.attributes.integer("sample_dim") == wanted.dimension) {
    operands[2] = b.add(operands[2], first);
    return b.one(Op::random_bits, operands, attributes);
  }
  std::vector<std::int64_t> here(whole.size(), 0);
  here[static_cast<std::size_t>(wanted.dimension)] = 1;
  const Shape shape{static_cast<std::int64_t>(whole.size())};
  const ValueId start = b.mul(b.constant(Tensor::from<std::int64_t>(shape, here)), first);
  if (operands.size() == 4) {
    operands[3] = b.add(operands[3], start);
  } else {
    operands.push_back(start);
    attributes.set("whole", whole);
  }
  return b.one(Op::random_bits, operands, attributes);
}

}  // namespace weft
