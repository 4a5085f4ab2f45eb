// Placement of operators that move elements: the cut dimension is followed; sums pass through.
#include <numeric>
#include <optional>

#include "graph/ir/ops/placement.hpp"

namespace weft::ops {
namespace {

using Types = std::span<const TensorType>;
using Given = std::span<const AxisPlacement>;

/// The cut result, its shape attribute made local.
PlacementAnswer with_local_shape(const PlacementQuestion& q, AxisPlacement result) {
  PlacementAnswer answer = q.as_given(result);
  answer.local_attributes.set("shape", q.local(q.result_types[0].shape.extents(), result));
  return answer;
}

PlacementAnswer broadcast(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (is_part_of_sum(given[0])) return q.as_given(part_of_sum());
  if (!is_cut(given[0])) return q.all_whole();
  const std::int64_t to = node.attributes.integers("dims").at(static_cast<std::size_t>(given[0].dimension));
  if (operands[0].shape[given[0].dimension] != results[0].shape[static_cast<int>(to)]) return q.all_whole();
  return with_local_shape(q, moved(given[0], to));
}

PlacementAnswer transpose(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!is_cut(given[0])) return q.as_given(given[0]);
  const Dims& order = node.attributes.integers("order");
  return q.as_given(moved(given[0], std::find(order.begin(), order.end(), given[0].dimension) - order.begin()));
}

std::int64_t product(const Shape& shape, int first, int last) {
  return std::accumulate(shape.begin() + first, shape.begin() + last, std::int64_t{1}, std::multiplies<>());
}

/// Whether the product of some leading dimensions of `shape` is `count`.
bool has_prefix(const Shape& shape, std::int64_t count) {
  for (int i = 0; i <= shape.rank(); ++i)
    if (product(shape, 0, i) == count) return true;
  return false;
}

/// Runs that are cut, seen in the first of dimensions that one is divided into, or with it merged with ones after it.
std::optional<AxisPlacement> in_dimension(const Shape& from, const Shape& to, const AxisPlacement& p, int k) {
  const std::int64_t before = product(from, 0, p.dimension), extent = from[p.dimension];
  Dims extents = p.extents;
  if (to[k] % extent == 0 && has_prefix(from, before * to[k])) {
    for (std::int64_t& e : extents) e *= to[k] / extent;
    return cut(k, std::move(extents));
  }
  if (to[k] <= 1 || extent % to[k] != 0 || !has_prefix(to, before * extent)) return std::nullopt;
  const std::int64_t rest = extent / to[k];
  if (std::any_of(extents.begin(), extents.end(), [&](std::int64_t e) { return e % rest != 0; })) return std::nullopt;
  for (std::int64_t& e : extents) e /= rest;
  return cut(k, std::move(extents));
}

/// Where a cut lies after a reshape: the dimension alone, merged with others, or in one of those that it is divided
/// into. Merged with dimensions before it, it is cut in blocks.
std::optional<AxisPlacement> reshaped(const Shape& from, const Shape& to, const AxisPlacement& p) {
  if (from.elements() == 0) return std::nullopt;
  const std::int64_t before = product(from, 0, p.dimension), extent = from[p.dimension];
  const std::int64_t run = extent / p.blocks;
  for (int k = 0; k < to.rank(); ++k) {
    const std::int64_t here = product(to, 0, k);
    if (here == before && to[k] == extent) return moved(p, k);
    if (here == before && p.blocks == 1) {
      if (auto result = in_dimension(from, to, p, k)) return result;
    }
    if (to[k] == run && here == before * p.blocks) return cut(k, p.extents);
    if (to[k] > 1 && to[k] % run == 0 && here * to[k] == before * extent && before % here == 0) {
      AxisPlacement merged = moved(p, k);
      merged.blocks = to[k] / run;
      return merged;
    }
  }
  return std::nullopt;
}

PlacementAnswer reshape(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (is_part_of_sum(given[0])) return q.as_given(part_of_sum());
  if (!is_cut(given[0])) return q.all_whole();
  const std::optional<AxisPlacement> result = reshaped(operands[0].shape, results[0].shape, given[0]);
  return result ? with_local_shape(q, *result) : q.all_whole();
}

/// Along the cut dimension it may take whole blocks.
PlacementAnswer slice(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (is_part_of_sum(given[0])) return q.as_given(part_of_sum());
  if (!is_cut(given[0])) return q.all_whole();
  const auto d = static_cast<std::size_t>(given[0].dimension);
  const std::int64_t extent = operands[0].shape[given[0].dimension], run = extent / given[0].blocks;
  Dims start = node.attributes.integers("start"), limit = node.attributes.integers("limit");
  const bool all = results[0].shape[given[0].dimension] == extent;
  const bool runs = run > 0 && start[d] % run == 0 && limit[d] % run == 0 && limit[d] > start[d] &&
                    node.attributes.integers("stride")[d] == 1;
  if (!all && !runs) return q.all_whole();
  AxisPlacement result = given[0];
  if (!all) {
    result.blocks = (limit[d] - start[d]) / run;
    start[d] = start[d] / run * given[0].extents.at(static_cast<std::size_t>(coordinate));
  }
  limit[d] = start[d] + result.local_extent(coordinate);
  PlacementAnswer answer = q.as_given(result);
  if (!all) answer.local_attributes.set("start", start);
  answer.local_attributes.set("limit", limit);
  return answer;
}

PlacementAnswer pad(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!is_cut(given[0])) return q.all_whole();
  const auto d = static_cast<std::size_t>(given[0].dimension);
  for (const char* name : {"low", "high", "interior"})
    if (node.attributes.integers(name).at(d) != 0) return q.all_whole();
  return q.only(0, given[0]);
}

/// Parts that are cut along the axis, in runs alike, are blocks of the result.
PlacementAnswer concat_blocks(const PlacementQuestion& q, const AxisPlacement& p) {
  PlacementAnswer answer = q.all(p);
  const std::int64_t run = p.block_extent();
  for (std::size_t i = 0; i < q.given.size(); ++i) {
    const std::int64_t extent = q.operand_types[i].shape[p.dimension];
    if (run == 0 || extent == 0 || extent % run != 0) return q.all_whole();
    answer.operands[i].blocks = extent / run;
  }
  answer.results[0].blocks = q.result_types[0].shape[p.dimension] / run;
  return answer;
}

PlacementAnswer concat(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (q.all_given(is_part_of_sum)) return q.as_given(part_of_sum());
  if (!q.any_cut()) return q.all_whole();
  const AxisPlacement& p = given[q.first_cut()];
  return p.dimension == node.attributes.integer("axis") ? concat_blocks(q, p) : q.all(p);
}

PlacementAnswer reverse(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const bool cut_there = is_cut(given[0]) && contains(node.attributes.integers("dims"), given[0].dimension);
  return cut_there ? q.all_whole() : q.as_given(given[0]);
}

/// What it waits for may lie in any way: it is not read.
PlacementAnswer after(const Node& node, Types operands, Types results, Given given, int coordinate) {
  return PlacementQuestion{node, operands, results, given, coordinate}.as_given(given[0]);
}

}  // namespace

PlacementRule movement_placement(Op op) {
  switch (op) {
    case Op::broadcast: return broadcast;
    case Op::transpose: return transpose;
    case Op::reshape: return reshape;
    case Op::slice: return slice;
    case Op::pad: return pad;
    case Op::concat: return concat;
    case Op::reverse: return reverse;
    case Op::after: return after;
    default: return nullptr;
  }
}

}  // namespace weft::ops
