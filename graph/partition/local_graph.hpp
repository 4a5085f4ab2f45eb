// The local graph under construction: global values, as this rank holds them, in whatever placement a reader needs.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/partition/placements.hpp"

namespace weft {

class LocalGraph {
 public:
  LocalGraph(const Graph& global, const Placements& placements, const SplitAxis& axis, int coordinate);

  GraphBuilder& builder() { return builder_; }
  const Graph& global() const { return global_; }
  int coordinate() const { return coordinate_; }

  /// Declares `local` as the global value `v` in its own placement; a partial one that is to be reduced is.
  void define(ValueId v, ValueId local);
  /// This rank's part of global value `v` in placement `wanted`.
  ValueId get(ValueId v, const AxisPlacement& wanted);
  ValueId get_whole(ValueId v) { return get(v, replicated()); }

  /// The sum of `local` over the axis.
  ValueId all_reduce(ValueId local);
  /// i64 scalar: the first index of this rank's part of a dimension cut into `extents`.
  ValueId first_index(const Dims& extents);
  /// i64 [n]: the global indices of this rank's part of a dimension cut into `extents`.
  ValueId indices(const Dims& extents);
  /// The type of a global value's part here.
  TensorType local_type(ValueId v, const AxisPlacement& placement) const;

 private:
  const AxisPlacement& placement(ValueId v) const { return placements_.values[static_cast<std::size_t>(v)]; }
  ValueId own(ValueId v) const;
  ValueId cut(ValueId v, const AxisPlacement& wanted);
  ValueId cut_producer(const Node& node, const AxisPlacement& wanted);
  ValueId cut_broadcast(const Node& node, const AxisPlacement& wanted);
  ValueId cut_pointwise(const Node& node, const AxisPlacement& wanted);
  ValueId join(ValueId v);
  ValueId share(ValueId v);

  const Graph& global_;
  const Placements& placements_;
  const SplitAxis& axis_;
  int coordinate_;
  GraphBuilder builder_;
  std::vector<ValueId> own_;
  std::map<std::pair<ValueId, int>, ValueId> cuts_;  ///< by value and dimension
  std::map<ValueId, ValueId> joined_;
};

}  // namespace weft
