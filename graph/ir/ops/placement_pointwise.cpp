// Placement of elementwise operators: all operands alike; sums pass through what is linear.
#include "graph/ir/ops/placement.hpp"

namespace weft::ops {
namespace {

/// Whether shares are cast as exactly as their sum. Shares can be far larger than it, so floats go to wider ones only.
/// Integers wrap, so they go to narrower ones only; i64, wide enough for any count, may become f32 or f64.
bool sums_survive_cast(DType from, DType to) {
  const bool wide_float = to == DType::f32 || to == DType::f64;
  if (is_float(from)) return from == to || (wide_float && size_of(to) > size_of(from));
  if (is_float(to)) return from == DType::i64 && wide_float;
  return is_integer(from) && is_integer(to) && size_of(to) <= size_of(from);
}

bool is_linear_unary(const Node& node, std::span<const TensorType> operands, std::span<const TensorType> results) {
  switch (node.op) {
    case Op::neg:
    case Op::stop_gradient:
    case Op::reorder: return true;
    case Op::cast: return sums_survive_cast(operands[0].dtype, results[0].dtype);
    default: return false;
  }
}

/// Whether sums over the ranks pass through the node with these operands.
bool passes_sums(const PlacementQuestion& q) {
  switch (q.node.op) {
    case Op::add:
    case Op::sub: return q.all_given(is_part_of_sum);
    case Op::mul: return is_whole(q.given[0]) || is_whole(q.given[1]);
    case Op::div: return is_float(q.result_types[0].dtype) && is_whole(q.given[1]);
    case Op::select: return is_whole(q.given[0]) && is_part_of_sum(q.given[1]) && is_part_of_sum(q.given[2]);
    default: return is_linear_unary(q.node, q.operand_types, q.result_types);
  }
}

PlacementAnswer pointwise(const Node& node, std::span<const TensorType> operand_types,
                          std::span<const TensorType> result_types, std::span<const AxisPlacement> operands,
                          int coordinate) {
  const PlacementQuestion q{node, operand_types, result_types, operands, coordinate};
  if (q.any_cut()) return q.all(operands[q.first_cut()]);
  return passes_sums(q) ? q.as_given(part_of_sum()) : q.all_whole();
}

}  // namespace

PlacementRule pointwise_placement(Op op) { return is_pointwise(op) || op == Op::reorder ? pointwise : nullptr; }

PlacementRule placement_rule(Op op) {
  for (const auto family : {pointwise_placement, movement_placement, indexing_placement, reduction_placement,
                            contraction_placement, attention_placement, collective_placement})
    if (const PlacementRule rule = family(op)) return rule;
  return nullptr;
}

}  // namespace weft::ops
