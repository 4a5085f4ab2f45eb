// Ownership of nodes, and the search for cycles.
#include "graph/lowering/groups.hpp"

#include <utility>

#include "graph/lowering/body.hpp"

namespace weft::lowering {

Groups::Groups(const Graph& graph)
    : graph_(graph),
      users_(graph.users()),
      is_output_(graph.values().size(), false),
      owner_(graph.nodes().size(), kUngrouped),
      node_seen_(graph.nodes().size(), 0) {
  for (const GraphOutput& o : graph.outputs()) is_output_[index(o.value)] = true;
}

bool Groups::inlineable(NodeId n) const {
  const Node& x = node(n);
  return x.op == Op::broadcast || x.op == Op::iota || is_widening(n) ||
         (x.op == Op::constant && shape(x.outputs[0]).elements() == 1);
}

int Groups::add(Group group) {
  const int id = static_cast<int>(groups_.size());
  for (const NodeId n : group.owned) owner_[index(n)] = id;
  group.reads = makers(group.nodes);
  groups_.push_back(std::move(group));
  group_seen_.push_back(0);
  return id;
}

void Groups::join(int id, const std::set<NodeId>& nodes, const std::set<NodeId>& owned) {
  Group& group = groups_[index(id)];
  group.nodes.insert(nodes.begin(), nodes.end());
  group.owned.insert(owned.begin(), owned.end());
  group.reads = makers(group.nodes);
  for (const NodeId n : owned) owner_[index(n)] = id;
}

void Groups::merge(int into, int from) {
  const Group group = std::exchange(groups_[index(from)], Group{});
  join(into, group.nodes, group.owned);
}

std::vector<NodeId> Groups::makers(const std::set<NodeId>& nodes) const {
  std::vector<NodeId> result;
  for (const NodeId n : nodes)
    for (const ValueId v : node(n).inputs)
      if (const NodeId p = producer(v); p != kNone && !nodes.count(p)) result.push_back(p);
  return result;
}

void Groups::order_collectives(const std::vector<std::vector<NodeId>>& buckets) {
  std::vector<NodeId> reads;
  for (const std::vector<NodeId>& bucket : buckets) {
    for (const NodeId n : bucket) {
      const std::vector<NodeId>& own = groups_[index(owner(n))].reads;
      reads.insert(reads.end(), own.begin(), own.end());
    }
    for (const NodeId n : bucket) groups_[index(owner(n))].reads = reads;
    reads = {bucket.back()};
  }
}

bool Groups::makes_cycle(int id, const std::set<NodeId>& nodes, const std::set<NodeId>& owned) const {
  ++stamp_;
  std::vector<NodeId> stack = makers(nodes);
  std::erase_if(stack, [&](NodeId p) { return owner(p) == id; });
  for (const NodeId p : groups_[index(id)].reads)
    if (!owned.count(p)) stack.push_back(p);
  while (!stack.empty()) {
    const NodeId p = stack.back();
    stack.pop_back();
    if (std::exchange(node_seen_[index(p)], stamp_) == stamp_) continue;
    const int group = owner(p);
    if (group == id || owned.count(p)) return true;
    if (group == kUngrouped) {
      for (const ValueId v : node(p).inputs)
        if (const NodeId maker = producer(v); maker != kNone) stack.push_back(maker);
    } else if (std::exchange(group_seen_[index(group)], stamp_) != stamp_) {
      const std::vector<NodeId>& reads = groups_[index(group)].reads;
      stack.insert(stack.end(), reads.begin(), reads.end());
    }
  }
  return false;
}

std::set<ValueId> Groups::operands(const std::set<NodeId>& nodes) const {
  std::set<ValueId> values;
  for (const NodeId n : nodes)
    for (const ValueId v : node(n).inputs)
      if (const NodeId p = producer(v); (p == kNone || !nodes.count(p)) && !is_scalar_constant(graph_, v))
        values.insert(v);
  return values;
}

}  // namespace weft::lowering
