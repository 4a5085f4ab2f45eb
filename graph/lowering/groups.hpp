// Groups: nodes of a step graph that shall share a kernel, and what keeps them from depending on themselves.
#pragma once

#include <set>
#include <vector>

#include "graph/ir/passes/precision.hpp"
#include "graph/lowering/order.hpp"
#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

inline constexpr int kUngrouped = -1;

struct Group {
  std::set<NodeId> nodes;  ///< what the kernel computes, copies included
  std::set<NodeId> owned;  ///< nodes whose results other units may read from this one
  Shape iteration;
  Dims reduced;  ///< reductions only
  UnitKind kind = UnitKind::kernel;
  bool alone = false;           ///< nothing joins it
  std::vector<NodeId> reads{};  ///< the nodes outside that make its operands
};

/// Every node is owned by at most one group. Groups run whole: who reads one result of a group depends on all that it
/// reads, whatever the order of the nodes was.
///
/// Groups and the nodes that none owns are kept in an order in which each follows what it reads. So the search for
/// cycles looks at what lies between the things that shall become one, and not at all that came before.
class Groups {
 public:
  explicit Groups(const Graph& graph);

  const Graph& graph() const { return graph_; }
  const Node& node(NodeId n) const { return graph_.node(n); }
  const Shape& shape(ValueId v) const { return graph_.type(v).shape; }
  NodeId producer(ValueId v) const { return graph_.value(v).producer; }
  const std::vector<NodeId>& users(ValueId v) const { return users_[static_cast<std::size_t>(v)]; }
  bool is_output(ValueId v) const { return is_output_[static_cast<std::size_t>(v)]; }
  NodeId node_count() const { return static_cast<NodeId>(graph_.nodes().size()); }

  /// Copied into each kernel that reads it: it costs nothing to recompute.
  bool inlineable(NodeId n) const;
  /// Of those the one whose operand is as large: a cast of f16 or bf16 to f32.
  bool is_widening(NodeId n) const { return weft::is_widening(graph_, node(n)); }

  int owner(NodeId n) const { return owner_[static_cast<std::size_t>(n)]; }
  bool free(NodeId n) const { return owner(n) == kUngrouped; }
  const Group& operator[](int group) const { return groups_[static_cast<std::size_t>(group)]; }
  const std::vector<Group>& all() const { return groups_; }

  int add(Group group);
  /// `nodes` become part of group `id`, of which `owned` its own.
  void join(int id, const std::set<NodeId>& nodes, const std::set<NodeId>& owned);
  /// Group `from` becomes part of group `into`; nothing is left of it.
  void merge(int into, int from);
  /// To the search for cycles a bucket's collectives, already groups, start together, after the buckets before it.
  void order_collectives(const std::vector<std::vector<NodeId>>& buckets);
  /// Whether `id`, with `nodes` (of which `owned` its own, the rest copies) joined to it, would depend on itself
  /// through something outside. May say so, too, where finding out would take long.
  bool makes_cycle(int id, const std::set<NodeId>& nodes, const std::set<NodeId>& owned) const;

  /// Values that `nodes` read from outside, scalar constants aside.
  std::set<ValueId> operands(const std::set<NodeId>& nodes) const;

 private:
  std::vector<NodeId> makers(const std::set<NodeId>& nodes) const;
  /// Its place in the order: its group's, or its own.
  int item_of(NodeId n) const { return free(n) ? n : group_item_[static_cast<std::size_t>(owner(n))]; }
  /// `items`, which are about to be one, leave the order to one new item at the first one's place.
  int joined_item(const std::set<int>& items);
  /// Puts everything that group `id` depends on before it.
  void put_makers_before(int id);
  template <class F>
  void for_each_maker(NodeId n, const F& visit) const;

  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> is_output_;  ///< per value
  std::vector<int> owner_;       ///< per node
  std::vector<Group> groups_;
  Order order_;  ///< of nodes, by their ids, and of groups
  std::vector<int> group_item_;
  // Visited in search number `stamp_`.
  mutable std::vector<int> node_seen_, group_seen_;
  mutable int stamp_ = 0;
};

/// The groups as units, each of which the oracle takes whole: a group that it refuses becomes one unit a node. Throws
/// UserError naming node and refusals when it refuses a node alone.
std::vector<Unit> units_of(const Groups& groups, const KernelOracle& oracle);

}  // namespace weft::lowering
