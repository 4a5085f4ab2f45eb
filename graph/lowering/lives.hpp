// When the values of a step graph are made and read, and where in the step most of them wait.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"

namespace weft::lowering {

/// When values are made and read, with one entry for all views of a tensor: that of the root, which owns the memory.
/// What a 16-bit tensor is widened to counts as a view: every kernel that reads it widens for itself. `graph` must
/// outlive it.
class Lives {
 public:
  /// Of what is read when the step is over.
  static constexpr int kForever = std::numeric_limits<int>::max();

  explicit Lives(const Graph& graph);

  bool is_view(const Node& node) const;
  ValueId root(ValueId v) const { return root_[index(v)]; }
  /// Positions of nodes that read it, views aside; ascending.
  const std::vector<int>& reads(ValueId v) const { return reads_[index(root(v))]; }
  /// Contractions up to and including the node there.
  int contractions(int position) const;
  /// The node after which most bytes wait for a reader that is beyond a contraction.
  int peak() const { return peak_; }
  /// The first reader after the peak; none: kForever.
  int first_late_read(ValueId v) const;
  /// There before the peak, and needed after it.
  bool waits(ValueId v) const;
  /// The node that makes it; -1 for inputs.
  int made(ValueId v) const { return made_[index(root(v))]; }
  /// What it takes in memory: nothing, where each kernel that reads it makes it for itself.
  std::int64_t bytes(ValueId v) const;

 private:
  void visit(int position);
  void find_peak();

  const Graph& graph_;
  std::vector<ValueId> root_;
  std::vector<int> made_;                ///< per root: position; -1 for inputs
  std::vector<std::vector<int>> reads_;  ///< per root
  std::vector<int> contractions_;
  int peak_ = 0;
};

}  // namespace weft::lowering
