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
    PlacementAnswer answer = q.only(me, sums ? part_of_sum() : moved(p, i));
    answer.operands[other] = moved(p, theirs[static_cast<std::size_t>(i)]);
    return answer;
  };
  if (contains(sides[me].batch, p.dimension)) return both(sides[me].batch, sides[other].batch, false);
  if (contains(sides[me].contract, p.dimension)) return both(sides[me].contract, sides[other].contract, true);
  std::int64_t at = static_cast<std::int64_t>(sides[0].batch.size()) + position(sides[me].free(), p.dimension);
  if (me == 1) at += static_cast<std::int64_t>(sides[0].free().size());
  return q.only(me, moved(p, at));
}

bool cut_by(const AxisPlacement& p, int dimension) {
  return is_cut(p) && p.dimension == dimension && (dimension == 0 || p.blocks == 1);
}

/// The roles of dimensions 0 and 1: samples and channels of activations, outputs and inputs of a filter. Spatial ones
/// are never cut. A filter in groups is cut by whole groups, with inputs and outputs alike.
PlacementAnswer convolution(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const bool backward = node.op == Op::conv_data_grad;
  const int sums = backward ? 0 : 1, kept = 1 - sums;  // of the filter's dimensions
  if (is_part_of_sum(given[0]) && is_whole(given[1])) return q.as_given(part_of_sum());
  PlacementAnswer answer = q.all_whole();
  const bool grouped = node.attributes.integer("groups") > 1;
  if (cut_by(given[0], 0)) {
    answer = q.only(0, given[0]);
  } else if (!grouped && (cut_by(given[0], 1) || cut_by(given[1], sums))) {
    const AxisPlacement& p = cut_by(given[0], 1) ? given[0] : given[1];
    answer = {{moved(p, 1), moved(p, sums)}, {part_of_sum()}, node.attributes};
  } else if (!grouped && cut_by(given[1], kept)) {
    answer = {{whole(), given[1]}, {moved(given[1], 1)}, node.attributes};
  }
  if (backward && is_cut(answer.results[0]))
    answer.local_attributes.set("input_shape", q.local(node.attributes.integers("input_shape"), answer.results[0]));
  return answer;
}

/// Operands: x, dy; the result is [outputs, inputs, ...].
PlacementAnswer filter_gradient(const Node& node, Types operands, Types results, Given given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  if (!q.any_cut()) return q.all_whole();
  const AxisPlacement& first = given[q.first_cut()];
  PlacementAnswer answer = q.all_whole();
  if (cut_by(first, 0)) {
    answer = q.all(first);
    answer.results[0] = part_of_sum();
  } else if (node.attributes.integer("groups") == 1) {
    const std::size_t me = cut_by(given[1], 1) ? 1 : 0;
    if (!cut_by(given[me], 1)) return answer;
    answer = q.only(me, moved(given[me], me == 1 ? 0 : 1));
    answer.local_attributes.set("filter_shape", q.local(node.attributes.integers("filter_shape"), answer.results[0]));
  }
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
