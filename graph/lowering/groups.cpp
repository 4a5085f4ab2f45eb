// Ownership of nodes, and the search for cycles.
#include "graph/lowering/groups.hpp"

#include <algorithm>
#include <utility>

#include "graph/lowering/body.hpp"

namespace weft::lowering {
namespace {

// Between things that are fused lie few others, in graphs as they come. A graph made to be otherwise is fused less.
constexpr int kMostVisited = 20'000;

}  // namespace

Groups::Groups(const Graph& graph)
    : graph_(graph),
      users_(graph.users()),
      is_output_(graph.values().size(), false),
      owner_(graph.nodes().size(), kUngrouped),
      order_(static_cast<int>(graph.nodes().size())),
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
  group_item_.push_back(joined_item({group.owned.begin(), group.owned.end()}));
  for (const NodeId n : group.owned) owner_[index(n)] = id;
  group.reads = makers(group.nodes);
  groups_.push_back(std::move(group));
  group_seen_.push_back(0);
  put_makers_before(id);
  return id;
}

void Groups::join(int id, const std::set<NodeId>& nodes, const std::set<NodeId>& owned) {
  Group& group = groups_[index(id)];
  group.nodes.insert(nodes.begin(), nodes.end());
  group.owned.insert(owned.begin(), owned.end());
  group.reads = makers(group.nodes);
  std::set<int> items{group_item_[index(id)]};
  for (const NodeId n : owned) items.insert(item_of(n));
  if (items.size() > 1) group_item_[index(id)] = joined_item(items);
  for (const NodeId n : owned) owner_[index(n)] = id;
  put_makers_before(id);
}

int Groups::joined_item(const std::set<int>& items) {
  const int first = *std::min_element(items.begin(), items.end(), [&](int a, int b) { return order_.before(a, b); });
  for (const int item : items)
    if (item != first) order_.remove(item);
  return order_.replace(first);
}

template <class F>
void Groups::for_each_maker(NodeId n, const F& visit) const {
  if (const int group = owner(n); group != kUngrouped) {
    for (const NodeId maker : groups_[index(group)].reads) visit(maker);
  } else {
    for (const ValueId v : node(n).inputs)
      if (const NodeId maker = producer(v); maker != kNone) visit(maker);
  }
}

void Groups::put_makers_before(int id) {
  ++stamp_;
  const int own = group_item_[index(id)];
  std::vector<int> late;
  std::vector<NodeId> stack = groups_[index(id)].reads;
  while (!stack.empty()) {
    const NodeId p = stack.back();
    stack.pop_back();
    if (std::exchange(node_seen_[index(p)], stamp_) == stamp_) continue;
    const int item = item_of(p);
    if (item == own || order_.before(item, own)) continue;
    if (const int group = owner(p); group != kUngrouped && std::exchange(group_seen_[index(group)], stamp_) == stamp_)
      continue;
    late.push_back(item);
    for_each_maker(p, [&](NodeId maker) { stack.push_back(maker); });
  }
  std::sort(late.begin(), late.end(), [&](int a, int b) { return order_.before(a, b); });
  for (const int item : late) order_.move_before(item, own);
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
    for (const NodeId n : bucket) put_makers_before(owner(n));
    reads = {bucket.back()};
  }
}

bool Groups::makes_cycle(int id, const std::set<NodeId>& nodes, const std::set<NodeId>& owned) const {
  ++stamp_;
  int first = group_item_[index(id)];
  for (const NodeId n : owned)
    if (order_.before(item_of(n), first)) first = item_of(n);
  std::vector<NodeId> stack = makers(nodes);
  std::erase_if(stack, [&](NodeId p) { return owner(p) == id; });
  for (const NodeId p : groups_[index(id)].reads)
    if (!owned.count(p)) stack.push_back(p);
  for (int visited = 0; !stack.empty(); ++visited) {
    const NodeId p = stack.back();
    stack.pop_back();
    if (std::exchange(node_seen_[index(p)], stamp_) == stamp_) continue;
    const int group = owner(p);
    if (group == id || owned.count(p)) return true;
    if (order_.before(item_of(p), first)) continue;  // and so is all that it depends on
    if (visited > kMostVisited) return true;
    if (group != kUngrouped && std::exchange(group_seen_[index(group)], stamp_) == stamp_) continue;
    for_each_maker(p, [&](NodeId maker) { stack.push_back(maker); });
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
