// What placement rules are made of: the question put to one, and the answers that many share.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "graph/ir/op_rules.hpp"

namespace weft::ops {

inline AxisPlacement whole() { return {}; }
inline AxisPlacement part_of_sum() { return {AxisPlacement::Kind::partial, 0, {}}; }
inline AxisPlacement cut(std::int64_t dimension, Dims extents) {
  return {AxisPlacement::Kind::split, static_cast<int>(dimension), std::move(extents)};
}
/// The same cut of another dimension.
inline AxisPlacement moved(AxisPlacement p, std::int64_t dimension) {
  p.dimension = static_cast<int>(dimension);
  return p;
}
inline bool is_cut(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::split; }
inline bool is_part_of_sum(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::partial; }
inline bool is_whole(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::replicated; }

/// One call of a placement rule.
struct PlacementQuestion {
  const Node& node;
  std::span<const TensorType> operand_types, result_types;
  std::span<const AxisPlacement> given;
  int coordinate;

  /// All operands are needed whole; all results are whole.
  PlacementAnswer all_whole() const {
    return {std::vector<AxisPlacement>(given.size()), std::vector<AxisPlacement>(result_types.size()), node.attributes};
  }
  /// All operands and results lie alike.
  PlacementAnswer all(const AxisPlacement& p) const {
    return {std::vector<AxisPlacement>(given.size(), p), std::vector<AxisPlacement>(result_types.size(), p),
            node.attributes};
  }
  /// The given operands lie well as they are; the only result lies so.
  PlacementAnswer as_given(AxisPlacement result) const {
    return {{given.begin(), given.end()}, {std::move(result)}, node.attributes};
  }
  /// Operand `i` lies as given and the others are whole; so lies the only result.
  PlacementAnswer only(std::size_t i, AxisPlacement result) const {
    PlacementAnswer answer = all_whole();
    answer.operands[i] = given[i];
    answer.results[0] = std::move(result);
    return answer;
  }
  /// Index of the first operand that is cut, or the operand count.
  std::size_t first_cut() const {
    return static_cast<std::size_t>(std::find_if(given.begin(), given.end(), is_cut) - given.begin());
  }
  bool any_cut() const { return first_cut() < given.size(); }
  bool all_given(bool (*test)(const AxisPlacement&)) const { return std::all_of(given.begin(), given.end(), test); }
  /// This coordinate's extent of a cut.
  std::int64_t extent(const AxisPlacement& p) const { return p.local_extent(coordinate); }
  /// `extents` with dimension p.dimension as it is on this coordinate.
  Dims local(Dims extents, const AxisPlacement& p) const {
    extents.at(static_cast<std::size_t>(p.dimension)) = extent(p);
    return extents;
  }
};

inline bool contains(const Dims& dims, std::int64_t d) { return std::find(dims.begin(), dims.end(), d) != dims.end(); }

/// Where dimension d lands when `removed` are taken out.
inline std::int64_t without(std::int64_t d, const Dims& removed) {
  return d - std::count_if(removed.begin(), removed.end(), [&](std::int64_t r) { return r < d; });
}

/// The placement rule of an operator; nullptr where operands must be whole. Rules of one kind are in one file each.
PlacementRule placement_rule(Op op);
PlacementRule pointwise_placement(Op op);
PlacementRule movement_placement(Op op);
PlacementRule indexing_placement(Op op);
PlacementRule reduction_placement(Op op);
PlacementRule contraction_placement(Op op);
PlacementRule attention_placement(Op op);
PlacementRule collective_placement(Op op);

}  // namespace weft::ops
