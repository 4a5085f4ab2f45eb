// Dependencies: which unit must run before which.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Edges of three kinds: from the maker of a tensor to its readers and to those who wait for it, from a collective to
/// the next one in `sequence`, and LoweredGraph::order. Each once, ascending by the unit at the other end.
class Dependencies {
 public:
  explicit Dependencies(const LoweredGraph& graph);

  const std::vector<int>& before(int unit) const { return before_[index(unit)]; }
  const std::vector<int>& after(int unit) const { return after_[index(unit)]; }
  /// The units that make what `unit` reads: the edges of data alone.
  const std::vector<int>& makers(int unit) const { return makers_[index(unit)]; }
  /// The unit that wrote what tensor `t` holds, or -1 for inputs and constants.
  int maker(int t) const { return maker_[index(t)]; }
  const std::vector<int>& collectives() const { return collectives_; }  ///< in `sequence` order

 private:
  std::vector<std::vector<int>> before_, after_, makers_;
  std::vector<int> maker_;  ///< per tensor
  std::vector<int> collectives_;
};

/// The maker of each tensor's contents, views included: unit, or -1.
std::vector<int> makers_of_tensors(const LoweredGraph& graph);

}  // namespace weft::lowering
