// What of a pass is forward, and what follows from states alone.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft {

class PassNodes {
 public:
  /// Of an accumulating pass; `all_forward`: of a graph without a backward pass.
  explicit PassNodes(const Graph& pass, bool all_forward = false);

  /// Whether the sum of the pass's losses depends on the node.
  bool is_forward(NodeId n) const { return forward_[static_cast<std::size_t>(n)]; }
  /// Whether the node is elementwise, a movement or a source, and depends on nothing but states that the pass leaves
  /// alone: the same in all passes of a step, and cheap enough to be made where it is read.
  bool is_cheap(NodeId n) const { return cheap_[static_cast<std::size_t>(n)]; }
  /// The states that a value is, or is cheaply made of, and those of all operands of a node.
  const std::set<std::string>& states_of(ValueId v) const { return states_[static_cast<std::size_t>(v)]; }
  std::set<std::string> states_of(const Node& node) const;

 private:
  std::vector<bool> forward_, cheap_;
  std::vector<std::set<std::string>> states_;  ///< by value
};

/// The value that "accumulate/NAME" is added to in a pass: the one operand of the sum that is not the state. Throws
/// InternalError where the new value is no such sum.
ValueId added_to_state(const Graph& pass, const GraphOutput& accumulated);

}  // namespace weft
