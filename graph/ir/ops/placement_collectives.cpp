// Placement along one mesh axis of exchanges over other axes: they are linear, and elementwise but in dimension 0.
#include "graph/ir/ops/placement.hpp"

namespace weft::ops {
namespace {

PlacementAnswer exchange(const Node& node, std::span<const TensorType> operands, std::span<const TensorType> results,
                         std::span<const AxisPlacement> given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const bool sums = node.op == Op::all_gather || node.attributes.text("kind") == "sum";
  if (is_part_of_sum(given[0])) return sums ? q.as_given(part_of_sum()) : q.all_whole();
  if (node.op != Op::all_reduce && is_cut(given[0]) && given[0].dimension == 0) return q.all_whole();
  return q.as_given(given[0]);
}

}  // namespace

PlacementRule collective_placement(Op op) {
  return op == Op::all_reduce || op == Op::all_gather || op == Op::reduce_scatter ? exchange : nullptr;
}

}  // namespace weft::ops
