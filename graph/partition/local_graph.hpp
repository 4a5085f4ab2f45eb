// The local graph under construction: global values, as this rank holds them, in whatever placement a reader needs.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/partition/placements.hpp"

namespace weft {

class LocalGraph {
 public:
  LocalGraph(const Graph& global, const Placements& placements, const SplitAxis& axis, int coordinate);

  GraphBuilder& builder() { return builder_; }
  const Graph& global() const { return global_; }

  /// Declares `local` as the global value `v` in its own placement; a partial one that is to be settled is.
  void define(ValueId v, ValueId local);
  /// This rank's part of global value `v` in placement `wanted`.
  ValueId get(ValueId v, const AxisPlacement& wanted);
  ValueId get_whole(ValueId v) { return get(v, replicated()); }

  /// `local` over the axis, reduced.
  ValueId all_reduce(ValueId local, const std::string& kind = "sum");
  /// The parts of all ranks along dimension 0; they are equal.
  ValueId all_gather(ValueId local);
  /// i64 scalar: the first index of this rank's part of the first block of a cut dimension.
  ValueId first_index(const AxisPlacement& p);
  /// i64 [n]: the global indices of this rank's part of a cut dimension.
  ValueId indices(const AxisPlacement& p);
  /// The type of a global value's part here.
  TensorType local_type(ValueId v, const AxisPlacement& placement) const;

 private:
  using Cut = std::tuple<ValueId, int, Dims, std::int64_t>;  ///< a value and how it is cut

  const AxisPlacement& placement(ValueId v) const { return placements_.values[static_cast<std::size_t>(v)]; }
  ValueId own(ValueId v) const;
  ValueId coordinate_scalar();
  ValueId first_sample(const AxisPlacement& p);
  ValueId cut(ValueId v, const AxisPlacement& wanted);
  ValueId cut_producer(const Node& node, const AxisPlacement& wanted);
  void drop_repeated(Node& broadcast, int dimension);
  ValueId join(ValueId v);
  ValueId join_by_sum(ValueId v, const AxisPlacement& have);
  ValueId join_by_gather(ValueId v, const AxisPlacement& have);
  ValueId reduce_scatter(ValueId local, const AxisPlacement& wanted);
  ValueId share(ValueId v);

  const Graph& global_;
  const Placements& placements_;
  const SplitAxis& axis_;
  int coordinate_;
  GraphBuilder builder_;
  std::vector<ValueId> own_;
  std::map<Cut, ValueId> cuts_;
  std::map<ValueId, ValueId> joined_;
};

}  // namespace weft
