// Placement of reads and sums by index: cut along the indices, or along the dimensions that are carried.
#include "graph/ir/ops/placement.hpp"

namespace weft::ops {
namespace {

using Types = std::span<const TensorType>;
using Given = std::span<const AxisPlacement>;

PlacementAnswer gather(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const std::int64_t axis = node.attributes.integer("axis"), rank = operands[1].shape.rank();
  if (is_cut(given[1])) return q.only(1, moved(given[1], axis + given[1].dimension));
  if (is_part_of_sum(given[0]) && is_whole(given[1])) return q.as_given(part_of_sum());
  if (!is_cut(given[0]) || given[0].dimension == axis) return q.all_whole();
  const std::int64_t d = given[0].dimension;
  return q.only(0, moved(given[0], d < axis ? d : d - 1 + rank));
}

/// Operands: indices, updates. A cut along the indices gives partial sums.
PlacementAnswer scatter_add(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const std::int64_t axis = node.attributes.integer("axis"), rank = operands[0].shape.rank();
  if (is_part_of_sum(given[1]) && is_whole(given[0])) return q.as_given(part_of_sum());
  const bool by_updates = is_cut(given[1]);
  if (!by_updates && !is_cut(given[0])) return q.all_whole();
  const AxisPlacement updates = by_updates ? given[1] : moved(given[0], axis + given[0].dimension);
  const std::int64_t d = updates.dimension;
  if (d >= axis && d < axis + rank) return {{moved(updates, d - axis), updates}, {part_of_sum()}, node.attributes};
  const AxisPlacement result = moved(updates, d < axis ? d : d - rank + 1);
  PlacementAnswer answer{{whole(), updates}, {result}, node.attributes};
  answer.local_attributes.set("shape", q.local(results[0].shape.extents(), result));
  return answer;
}

/// gather_elements and scatter_elements: every operand is cut alike, along another dimension than the axis.
PlacementAnswer elements(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!q.any_cut()) return q.all_whole();
  const AxisPlacement& p = given[q.first_cut()];
  if (p.dimension == node.attributes.integer("axis")) return q.all_whole();
  for (const TensorType& type : operands)
    if (type.shape[p.dimension] != operands[0].shape[p.dimension]) return q.all_whole();
  return q.all(p);
}

/// One result with the operand's dimensions but `axis` (argmax, argmin).
PlacementAnswer along_removed_axis(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const std::int64_t axis = node.attributes.integer("axis");
  if (!is_cut(given[0]) || given[0].dimension == axis) return q.all_whole();
  return q.as_given(moved(given[0], without(given[0].dimension, {axis})));
}

/// Operators that look along one axis and keep the dimensions (cumsum, top_k, softmax).
PlacementAnswer along_kept_axis(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!is_cut(given[0]) || given[0].dimension == node.attributes.integer("axis")) return q.all_whole();
  return q.all(given[0]);
}

/// logits, labels: labels lack the class axis.
PlacementAnswer cross_entropy(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!q.any_cut()) return q.all_whole();
  const std::int64_t axis = node.attributes.integer("axis");
  AxisPlacement logits = given[0];
  if (!is_cut(logits))
    logits = moved(given[1], given[1].dimension < axis ? given[1].dimension : given[1].dimension + 1);
  if (logits.dimension == axis) return q.all_whole();
  const AxisPlacement labels = moved(logits, without(logits.dimension, {axis}));
  return {{logits, labels}, {labels}, node.attributes};
}

}  // namespace

PlacementRule indexing_placement(Op op) {
  switch (op) {
    case Op::gather: return gather;
    case Op::scatter_add: return scatter_add;
    case Op::gather_elements:
    case Op::scatter_elements: return elements;
    case Op::argmax:
    case Op::argmin: return along_removed_axis;
    case Op::cumsum:
    case Op::top_k:
    case Op::softmax:
    case Op::log_softmax: return along_kept_axis;
    case Op::cross_entropy: return cross_entropy;
    default: return nullptr;
  }
}

}  // namespace weft::ops
