// Groups around attention.
#include "graph/lowering/fuse_attention.hpp"

#include <algorithm>
#include <set>

#include "graph/ir/passes/attention.hpp"
#include "graph/lowering/body.hpp"

namespace weft::lowering {
namespace {

bool copies(Op op) { return op == Op::slice || op == Op::transpose; }
bool moves(Op op) { return copies(op) || op == Op::reshape; }

class AttentionGroup {
 public:
  AttentionGroup(const Groups& groups, const KernelOracle& oracle, NodeId node)
      : groups_(groups), oracle_(oracle), node_(node), group_{{node}, {node}, {}, {}, UnitKind::kernel} {}

  Group run() {
    for (const ValueId v : groups_.node(node_).inputs) take_chain_to(v);
    take_movement_from_results();
    return group_;
  }

 private:
  bool accepted(const Group& group) const {
    std::vector<ValueId> outputs;
    for (const NodeId n : group.owned)
      for (const ValueId v : groups_.node(n).outputs) {
        const auto& users = groups_.users(v);
        const bool inside = !users.empty() && std::all_of(users.begin(), users.end(),
                                                          [&](NodeId u) { return group.owned.count(u) != 0; });
        if (!inside || groups_.is_output(v)) outputs.push_back(v);
      }
    return oracle_.ask(make_unit(groups_.graph(), group.nodes, outputs, "").body).offer.has_value();
  }

  /// The longest chain of movement that ends at `v` and begins with what would be a copy.
  void take_chain_to(ValueId v) {
    std::set<NodeId> chain;
    Group longer = group_;
    for (NodeId n = groups_.producer(v); n != kNone && moves(groups_.node(n).op);
         n = groups_.producer(groups_.node(n).inputs[0])) {
      chain.insert(n);
      if (!copies(groups_.node(n).op)) continue;
      Group candidate = group_;
      candidate.nodes.insert(chain.begin(), chain.end());
      if (accepted(candidate)) longer = std::move(candidate);
    }
    group_ = std::move(longer);
  }

  /// What reads the node's results and nothing else, as long as it is free.
  void take_movement_from_results() {
    Group candidate = group_;
    for (bool grew = true; grew;) {
      grew = false;
      for (const NodeId n : std::set<NodeId>(candidate.owned)) {
        for (const ValueId v : groups_.node(n).outputs) {
          const auto& users = groups_.users(v);
          if (users.size() != 1 || groups_.is_output(v)) continue;
          const NodeId user = users[0];
          if (candidate.owned.count(user) || !groups_.free(user) || !reads_only(user, candidate.owned)) continue;
          candidate.nodes.insert(user);
          candidate.owned.insert(user);
          grew = true;
        }
      }
      const bool worth = std::any_of(candidate.owned.begin(), candidate.owned.end(), [&](NodeId n) {
        return copies(groups_.node(n).op) || groups_.node(n).op == Op::concat;
      });
      if (grew && worth && accepted(candidate)) group_ = candidate;
    }
  }

  bool reads_only(NodeId user, const std::set<NodeId>& owned) const {
    const Node& node = groups_.node(user);
    if (node.op != Op::concat && node.op != Op::transpose && node.op != Op::reshape) return false;
    std::set<ValueId> seen;
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      const NodeId producer = groups_.producer(v);
      return seen.insert(v).second && producer != kNone && owned.count(producer) && groups_.users(v).size() == 1 &&
             !groups_.is_output(v);
    });
  }

  const Groups& groups_;
  const KernelOracle& oracle_;
  NodeId node_;
  Group group_;
};

}  // namespace

std::vector<bool> group_attention(Groups& groups, const KernelOracle& oracle) {
  std::vector<std::set<NodeId>> found;
  for (NodeId n = 0; n < groups.node_count(); ++n) {
    if (!is_attention(groups.node(n).op) || !groups.free(n)) continue;
    const Group group = AttentionGroup(groups, oracle, n).run();
    found.push_back(group.nodes);
    groups.add(group);
  }
  std::vector<bool> copied(static_cast<std::size_t>(groups.node_count()), false);
  for (NodeId n = groups.node_count() - 1; n >= 0 && !found.empty(); --n) {
    if (!moves(groups.node(n).op) || !groups.free(n)) continue;
    const ValueId v = groups.node(n).outputs[0];
    const auto& users = groups.users(v);
    copied[index(n)] = !groups.is_output(v) && !users.empty() && std::all_of(users.begin(), users.end(), [&](NodeId u) {
      if (copied[index(u)]) return true;
      return std::any_of(found.begin(), found.end(),
                         [&](const auto& nodes) { return nodes.count(u) && nodes.count(n); });
    });
  }
  return copied;
}

}  // namespace weft::lowering
