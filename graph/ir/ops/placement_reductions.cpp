// Placement of reductions and normalisations over dimensions.
#include "graph/ir/ops/placement.hpp"

namespace weft::ops {
namespace {

using Types = std::span<const TensorType>;
using Given = std::span<const AxisPlacement>;

/// A sum over the cut dimension is a partial sum; other reductions need it whole.
PlacementAnswer reduce(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const bool sums = node.op == Op::reduce_sum;
  if (is_part_of_sum(given[0])) return sums ? q.as_given(part_of_sum()) : q.all_whole();
  if (!is_cut(given[0])) return q.all_whole();
  const Dims& dims = node.attributes.integers("dims");
  if (!contains(dims, given[0].dimension)) return q.as_given(moved(given[0], without(given[0].dimension, dims)));
  return sums ? q.as_given(part_of_sum()) : q.all_whole();
}

PlacementAnswer layer_norm(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!is_cut(given[0]) || given[0].dimension >= node.attributes.integer("axis")) return q.all_whole();
  return q.only(0, given[0]);
}

}  // namespace

PlacementRule reduction_placement(Op op) {
  switch (op) {
    case Op::reduce_sum:
    case Op::reduce_max:
    case Op::reduce_min:
    case Op::reduce_prod: return reduce;
    case Op::layer_norm: return layer_norm;
    default: return nullptr;
  }
}

}  // namespace weft::ops
