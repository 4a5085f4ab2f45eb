// The fusion pass: contraction epilogues, reductions with prologues, elementwise groups, single nodes.
#include "graph/lowering/fuse.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <unordered_map>

#include "graph/lowering/body.hpp"
#include "graph/lowering/fuse_attention.hpp"
#include "graph/lowering/fuse_depthwise.hpp"
#include "graph/lowering/fuse_rows.hpp"
#include "graph/lowering/groups.hpp"

namespace weft::lowering {
namespace {

// A reduction recomputes its elementwise producers up to these sizes; beyond them the producer is materialised.
constexpr int kMaxPrologueOperands = 4;
constexpr int kMaxPrologueNodes = 24;
// One elementwise kernel: tiles of all operands must fit the first-level cache together.
constexpr int kMaxGroupOperands = 16;
constexpr int kMaxGroupNodes = 48;
// Of the reductions before one, so many of the nearest are looked at to join.
constexpr int kMostReductionsTried = 16;

class Fusion {
 public:
  Fusion(const Graph& graph, const KernelOracle& oracle) : groups_(graph), oracle_(oracle) {}

  std::vector<Unit> run(const FixedGroups& fixed) {
    claim_alone(fixed.alone);
    claim_epilogues(false);
    group_depthwise(groups_, oracle_);
    claim_epilogues(true);
    copied_ = group_attention(groups_, oracle_);
    claim_others();
    groups_.order_collectives(fixed.buckets);
    claim_reductions();
    claim_pointwise();
    merge_rows(groups_, oracle_);
    return units_of(groups_, oracle_);
  }

 private:
  const Node& node(NodeId n) const { return groups_.node(n); }
  const Shape& shape(ValueId v) const { return groups_.shape(v); }
  bool elementwise(NodeId n) const { return is_pointwise(node(n).op) && node(n).op != Op::stop_gradient; }
  bool is_reduction(NodeId n) const {
    const Op op = node(n).op;
    return op == Op::reduce_sum || op == Op::reduce_max || op == Op::reduce_min || op == Op::reduce_prod ||
           op == Op::moments;
  }
  bool free_elementwise(NodeId n) const { return elementwise(n) && groups_.free(n); }

  /// Whether the device takes the group whole.
  bool accepted(const Group& group) const {
    std::vector<ValueId> outputs;
    for (const NodeId n : group.owned) outputs.insert(outputs.end(), node(n).outputs.begin(), node(n).outputs.end());
    return oracle_.ask(make_unit(groups_.graph(), group.nodes, outputs, "").body).offer.has_value();
  }

  void claim_alone(const std::vector<std::vector<NodeId>>& kernels) {
    for (const std::vector<NodeId>& kernel : kernels) {
      Group group{{kernel.begin(), kernel.end()}, {}, shape(node(kernel.back()).outputs[0]), {}, UnitKind::kernel};
      group.alone = true;
      for (const NodeId n : kernel)
        if (!groups_.inlineable(n)) group.owned.insert(n);
      groups_.add(std::move(group));
    }
  }

  // --- 1. epilogues -----------------------------------------------------------------------------------------------

  /// Depthwise convolutions come after the others: what these take is no longer before them.
  void claim_epilogues(bool depthwise) {
    for (NodeId n = 0; n < groups_.node_count(); ++n) {
      const Op op = node(n).op;
      if ((op != Op::conv_general && op != Op::dot_general) || !groups_.free(n)) continue;
      if (!depthwise && is_depthwise_convolution(groups_.graph(), n)) continue;
      std::set<NodeId> nodes{n};
      ValueId tail = node(n).outputs[0];
      while (true) {
        std::set<NodeId> longer = nodes;
        const NodeId next = epilogue_after(tail, longer);
        if (next == kNone || !oracle_.ask(make_unit(groups_.graph(), longer, {node(next).outputs[0]}, "").body).offer)
          break;
        nodes = std::move(longer);
        tail = node(next).outputs[0];
      }
      std::set<NodeId> owned;
      for (const NodeId m : nodes)
        if (!groups_.inlineable(m)) owned.insert(m);
      groups_.add({nodes, owned, shape(tail), {}, UnitKind::kernel});
    }
  }

  bool is_narrowing(const Node& n) const {
    const DType to = groups_.graph().type(n.outputs[0]).dtype;
    return n.op == Op::cast && (to == DType::f16 || to == DType::bf16);
  }

  /// The only user of `tail` if it is an epilogue step; adds it, and the broadcast or widening that feeds it, to
  /// `nodes`.
  NodeId epilogue_after(ValueId tail, std::set<NodeId>& nodes) const {
    const auto& users = groups_.users(tail);
    if (users.size() != 1 || groups_.is_output(tail) || !groups_.free(users[0])) return kNone;
    const Node& user = node(users[0]);
    if (user.op != Op::relu && user.op != Op::add && !is_narrowing(user)) return kNone;
    if (user.op == Op::add) {
      const ValueId other = user.inputs[0] == tail ? user.inputs[1] : user.inputs[0];
      if (other == tail) return kNone;
      const NodeId producer = groups_.producer(other);
      if (producer != kNone && (node(producer).op == Op::broadcast || groups_.is_widening(producer)))
        nodes.insert(producer);
    }
    nodes.insert(users[0]);
    return users[0];
  }

  // --- 4 (first, so that the others know what must be in memory). single nodes --------------------------------------

  void claim_others() {
    for (NodeId n = 0; n < groups_.node_count(); ++n) {
      if (!groups_.free(n) || elementwise(n) || groups_.inlineable(n) || is_reduction(n) ||
          node(n).op == Op::constant || copied_[index(n)])
        continue;
      Group group{{n}, {n}, {}, {}, UnitKind::kernel};
      if (is_view(node(n).op)) group.kind = UnitKind::view;
      if (class_of(node(n).op) == OpClass::collective) group.kind = UnitKind::collective;
      groups_.add(std::move(group));
    }
  }

  /// Whether `v` has to be in memory whatever reductions and elementwise kernels do. Found out once: while reductions
  /// are claimed, which is when it is asked, elementwise nodes stay as they are.
  bool materialised(ValueId v) {
    const auto known = materialised_.find(v);
    return known != materialised_.end() ? known->second : materialised_.emplace(v, is_materialised(v)).first->second;
  }
  bool is_materialised(ValueId v) const {
    if (groups_.is_output(v)) return true;
    return std::any_of(groups_.users(v).begin(), groups_.users(v).end(),
                       [&](NodeId u) { return !groups_.inlineable(u) && !is_reduction(u) && !free_elementwise(u); });
  }

  // --- 2. reductions ------------------------------------------------------------------------------------------------

  struct Cone {
    std::set<NodeId> nodes;
    int computed = 0;            ///< nodes that are not merely copied
    std::set<ValueId> operands;  ///< of the iteration shape
  };

  /// The elementwise nodes that make `v`, as far as they need not be in memory; empty when recomputing costs too much.
  Cone cone_of(ValueId v, const Shape& iteration) {
    const auto is_small = [](const Cone& c) {
      return static_cast<int>(c.operands.size()) <= kMaxPrologueOperands && c.computed <= kMaxPrologueNodes;
    };
    Cone cone;
    std::vector<ValueId> stack{v};
    std::set<ValueId> seen;
    while (!stack.empty() && is_small(cone)) {
      const ValueId value = stack.back();
      stack.pop_back();
      if (!seen.insert(value).second) continue;
      const NodeId n = groups_.producer(value);
      const bool inside = n != kNone && shape(value) == iteration &&
                          (groups_.inlineable(n) || (free_elementwise(n) && !materialised(value)));
      if (!inside) {
        if (shape(value) == iteration) cone.operands.insert(value);
        continue;
      }
      cone.nodes.insert(n);
      if (!groups_.inlineable(n)) ++cone.computed;
      if (!groups_.inlineable(n) || groups_.is_widening(n))
        stack.insert(stack.end(), node(n).inputs.begin(), node(n).inputs.end());
    }
    return is_small(cone) ? cone : Cone{{}, 0, {v}};
  }

  void claim_reductions() {
    std::map<ValueId, std::set<int>> open;  // reduction groups that later ones may join, by what they read
    for (NodeId n = 0; n < groups_.node_count(); ++n) {
      if (!is_reduction(n) || !groups_.free(n)) continue;
      const ValueId v = node(n).inputs[0];
      Cone cone = cone_of(v, shape(v));
      Group group{cone.nodes, {n}, shape(v), node(n).attributes.integers("dims"), UnitKind::kernel};
      group.nodes.insert(n);
      const int joined = node(n).op == Op::moments ? kUngrouped : reduction_to_join(group, cone, open);
      if (joined != kUngrouped) {
        groups_.join(joined, group.nodes, {n});
        for (const ValueId operand : cone.operands) open[operand].insert(joined);
        continue;
      }
      if (!accepted(group)) group.nodes = {n};
      const bool mergeable = node(n).op != Op::moments;
      const int id = groups_.add(std::move(group));
      if (mergeable)
        for (const ValueId operand : cone.operands) open[operand].insert(id);
    }
  }

  int reduction_to_join(const Group& mine, const Cone& cone, const std::map<ValueId, std::set<int>>& open) {
    std::set<int, std::greater<>> nearest;
    for (const ValueId operand : cone.operands)
      if (const auto found = open.find(operand); found != open.end()) {
        auto it = found->second.rbegin();
        for (int i = 0; i < kMostReductionsTried && it != found->second.rend(); ++i, ++it) nearest.insert(*it);
      }
    for (const int id : nearest) {
      const Group& theirs = groups_[id];
      if (theirs.iteration != mine.iteration || theirs.reduced != mine.reduced) continue;
      if (groups_.makes_cycle(id, mine.nodes, mine.owned)) continue;
      Group merged = theirs;
      merged.nodes.insert(mine.nodes.begin(), mine.nodes.end());
      merged.owned.insert(mine.owned.begin(), mine.owned.end());
      if (static_cast<int>(merged.nodes.size()) <= kMaxGroupNodes && accepted(merged)) return id;
    }
    return kUngrouped;
  }

  // --- 3. elementwise -----------------------------------------------------------------------------------------------

  void claim_pointwise() {
    const std::vector<bool> needed = needed_nodes();
    for (NodeId n = 0; n < groups_.node_count(); ++n) {
      if (!needed[static_cast<std::size_t>(n)] || !groups_.free(n)) continue;
      if (groups_.inlineable(n)) {  // somebody reads it from memory
        const Shape& whole = shape(node(n).outputs[0]);
        groups_.add({with_inlined_operands(n, whole), {n}, whole, {}, UnitKind::kernel});
        continue;
      }
      const Shape& iteration = shape(node(n).outputs[0]);
      const std::set<NodeId> added = with_inlined_operands(n, iteration);
      int best = kUngrouped;
      for (const ValueId v : node(n).inputs) {
        const int g = maker_group(v);
        if (g > best && joinable(g, added, {n}, iteration)) best = g;
      }
      if (best == kUngrouped) {
        groups_.add({added, {n}, iteration, {}, UnitKind::kernel});
      } else {
        groups_.join(best, added, {n});
        merge_makers(n, best);
      }
    }
  }

  /// Chains that began apart meet at `n`, which joined one of them: the others come along where that makes no cycle.
  void merge_makers(NodeId n, int group) {
    for (const ValueId v : node(n).inputs) {
      const int other = maker_group(v);
      if (other == kUngrouped || other == group || !is_elementwise(groups_[other])) continue;
      if (joinable(group, groups_[other].nodes, groups_[other].owned, groups_[other].iteration))
        groups_.merge(group, other);
    }
  }

  /// Of what makes `v`, itself or what is widened to it.
  int maker_group(ValueId v) const {
    NodeId producer = groups_.producer(v);
    if (producer != kNone && groups_.is_widening(producer)) producer = groups_.producer(node(producer).inputs[0]);
    return producer == kNone ? kUngrouped : groups_.owner(producer);
  }

  bool is_elementwise(const Group& group) const {
    return group.kind == UnitKind::kernel && group.reduced.empty() && !group.alone &&
           std::all_of(group.owned.begin(), group.owned.end(), [&](NodeId m) { return elementwise(m); });
  }

  /// Elementwise and inlineable nodes whose results have to exist in memory or feed one that has.
  std::vector<bool> needed_nodes() const {
    std::vector<bool> needed(static_cast<std::size_t>(groups_.node_count()), false);
    std::vector<ValueId> stack;
    for (const GraphOutput& o : groups_.graph().outputs()) stack.push_back(o.value);
    for (const Group& g : groups_.all())
      for (const NodeId n : g.nodes)
        for (const ValueId v : node(n).inputs) {
          const NodeId producer = groups_.producer(v);
          if (producer != kNone && !g.nodes.count(producer)) stack.push_back(v);
        }
    while (!stack.empty()) {
      const NodeId n = groups_.producer(stack.back());
      stack.pop_back();
      if (n == kNone || needed[static_cast<std::size_t>(n)] || !groups_.free(n) || node(n).op == Op::constant) continue;
      needed[static_cast<std::size_t>(n)] = true;
      // What an elementwise node reads through an inlineable one is read from memory only behind that one.
      for (const ValueId v : node(n).inputs) {
        const NodeId p = groups_.producer(v);
        if (p != kNone && groups_.inlineable(p) && elementwise(n)) {
          const NodeId last = end_of_inlined(p);
          for (const ValueId w : node(last).inputs) stack.push_back(w);
        } else {
          stack.push_back(v);
        }
      }
    }
    return needed;
  }

  /// What is widened may itself be copied into the kernel: the node whose operands that reads.
  NodeId end_of_inlined(NodeId p) const {
    if (!groups_.is_widening(p)) return p;
    const NodeId below = groups_.producer(node(p).inputs[0]);
    const bool copied = below != kNone && groups_.inlineable(below) && node(below).op != Op::constant;
    return copied ? below : p;
  }

  std::set<NodeId> with_inlined_operands(NodeId n, const Shape& iteration) const {
    std::set<NodeId> nodes{n};
    for (const ValueId v : node(n).inputs) {
      const NodeId p = groups_.producer(v);
      if (p == kNone || !groups_.inlineable(p) || shape(v) != iteration || node(p).op == Op::constant) continue;
      nodes.insert(p);
      nodes.insert(end_of_inlined(p));
    }
    return nodes;
  }

  /// Whether `owned`, with what is copied along with them, can become part of group `g`.
  bool joinable(int g, const std::set<NodeId>& added, const std::set<NodeId>& owned, const Shape& iteration) {
    const Group& group = groups_[g];
    if (group.iteration != iteration || !is_elementwise(group)) return false;
    if (group.nodes.size() >= kMaxGroupNodes) return false;  // most often: nothing need be copied to know
    std::set<NodeId> nodes = group.nodes;
    nodes.insert(added.begin(), added.end());
    if (static_cast<int>(nodes.size()) > kMaxGroupNodes) return false;
    if (static_cast<int>(groups_.operands(nodes).size()) > kMaxGroupOperands) return false;
    return !groups_.makes_cycle(g, added, owned);
  }

  Groups groups_;
  const KernelOracle& oracle_;
  std::vector<bool> copied_;  ///< nodes that every kernel which reads them holds a copy of
  std::unordered_map<ValueId, bool> materialised_;
};

}  // namespace

std::vector<Unit> fuse(const Graph& graph, const FixedGroups& fixed, const KernelOracle& oracle) {
  return Fusion(graph, oracle).run(fixed);
}

}  // namespace weft::lowering
