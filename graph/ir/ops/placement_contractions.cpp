// Placement of contractions: cut along batch or free dimensions, or along contracted ones, which leaves partial sums.
#include "graph/ir/ops/placement.hpp"

namespace weft::ops {
namespace {

using Types = std::span<const TensorType>;
using Given = std::span<const AxisPlacement>;

/// One side of a dot_general.
struct Side {
  const Dims& batch;
  const Dims& contract;
  int rank;

  Dims free() const {
    Dims result;
    for (int d = 0; d < rank; ++d)
      if (!contains(batch, d) && !contains(contract, d)) result.push_back(d);
    return result;
  }
};

std::int64_t position(const Dims& dims, std::int64_t d) {
  return std::find(dims.begin(), dims.end(), d) - dims.begin();
}

PlacementAnswer dot(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!q.any_cut()) {
    const bool one_sum = is_part_of_sum(given[0]) != is_part_of_sum(given[1]);
    return one_sum ? q.as_given(part_of_sum()) : q.all_whole();
  }
  const Attributes& a = node.attributes;
  const Side sides[2] = {{a.integers("x_batch"), a.integers("x_contract"), operands[0].shape.rank()},
                         {a.integers("y_batch"), a.integers("y_contract"), operands[1].shape.rank()}};
  const std::size_t me = q.first_cut(), other = 1 - me;
  const AxisPlacement& p = given[me];
  const auto both = [&](const Dims& mine, const Dims& theirs, bool sums) {
    const std::int64_t i = position(mine, p.dimension);
    PlacementAnswer answer = q.only(me, sums ? part_of_sum() : cut(i, p.extents));
    answer.operands[other] = cut(theirs[static_cast<std::size_t>(i)], p.extents);
    return answer;
  };
  if (contains(sides[me].batch, p.dimension)) return both(sides[me].batch, sides[other].batch, false);
  if (contains(sides[me].contract, p.dimension)) return both(sides[me].contract, sides[other].contract, true);
  std::int64_t at = static_cast<std::int64_t>(sides[0].batch.size()) + position(sides[me].free(), p.dimension);
  if (me == 1) at += static_cast<std::int64_t>(sides[0].free().size());
  return q.only(me, cut(at, p.extents));
}

bool cut_by_samples(const AxisPlacement& p) { return is_cut(p) && p.dimension == 0; }

PlacementAnswer convolution(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (is_part_of_sum(given[0]) && is_whole(given[1])) return q.as_given(part_of_sum());
  if (!cut_by_samples(given[0])) return q.all_whole();
  PlacementAnswer answer = q.only(0, given[0]);
  if (node.op == Op::conv_data_grad)
    answer.local_attributes.set("input_shape", q.local(node.attributes.integers("input_shape"), given[0]));
  return answer;
}

PlacementAnswer filter_gradient(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!q.any_cut() || !cut_by_samples(given[q.first_cut()])) return q.all_whole();
  PlacementAnswer answer = q.all(given[q.first_cut()]);
  answer.results[0] = part_of_sum();
  return answer;
}

/// Windows must not look along the cut dimension.
PlacementAnswer window(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!q.any_cut()) {
    const bool linear = node.op == Op::reduce_window_sum || node.op == Op::reduce_window_sum_grad;
    return linear ? q.as_given(given[0]) : q.all_whole();
  }
  const AxisPlacement& p = given[q.first_cut()];
  const auto d = static_cast<std::size_t>(p.dimension);
  const Attributes& a = node.attributes;
  if (a.integers("window").at(d) != 1 || a.integers("strides").at(d) != 1 || a.integers("pads_low").at(d) != 0 ||
      a.integers("pads_high").at(d) != 0)
    return q.all_whole();
  PlacementAnswer answer = q.all(p);
  if (node.op == Op::reduce_window_sum_grad)
    answer.local_attributes.set("input_shape", q.local(a.integers("input_shape"), p));
  return answer;
}

}  // namespace

PlacementRule contraction_placement(Op op) {
  switch (op) {
    case Op::dot_general: return dot;
    case Op::conv_general:
    case Op::conv_data_grad: return convolution;
    case Op::conv_filter_grad: return filter_gradient;
    case Op::reduce_window_max:
    case Op::reduce_window_sum:
    case Op::reduce_window_max_grad:
    case Op::reduce_window_sum_grad: return window;
    default: return nullptr;
  }
}

}  // namespace weft::ops
