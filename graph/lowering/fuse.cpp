// The fusion pass: contraction epilogues, reductions with prologues, elementwise groups, single nodes.
#include "graph/lowering/fuse.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "graph/lowering/body.hpp"
#include "weft/error.hpp"

namespace weft::lowering {
namespace {

// A reduction recomputes its elementwise producers up to these sizes; beyond them the producer is materialised.
constexpr int kMaxPrologueOperands = 4;
constexpr int kMaxPrologueNodes = 24;
// One elementwise kernel: tiles of all operands must fit the first-level cache together.
constexpr int kMaxGroupOperands = 16;
constexpr int kMaxGroupNodes = 48;

constexpr int kUnassigned = -1;

class Fusion {
 public:
  Fusion(const Graph& graph, const KernelOracle& oracle)
      : graph_(graph),
        oracle_(oracle),
        users_(graph.users()),
        group_of_(graph.nodes().size(), kUnassigned),
        node_seen_(graph.nodes().size(), 0),
        is_output_(graph.values().size(), false) {
    for (const GraphOutput& o : graph.outputs()) is_output_[index(o.value)] = true;
  }

  std::vector<Unit> run() {
    claim_epilogues();
    claim_others();
    claim_reductions();
    claim_pointwise();
    return build_units();
  }

 private:
  struct Group {
    std::set<NodeId> nodes;  ///< what the kernel computes, inlined copies included
    std::set<NodeId> owned;  ///< nodes whose results other units may read from this one
    Shape iteration;
    Dims reduced;  ///< reductions only
    UnitKind kind = UnitKind::kernel;
    std::vector<NodeId> reads{};  ///< the nodes outside that make its operands
  };

  static std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }
  const Node& node(NodeId n) const { return graph_.node(n); }
  const Shape& shape(ValueId v) const { return graph_.type(v).shape; }

  /// Copied into each kernel that reads it: it costs nothing to recompute.
  bool inlineable(NodeId n) const {
    const Node& x = node(n);
    return x.op == Op::broadcast || x.op == Op::iota || (x.op == Op::constant && shape(x.outputs[0]).elements() == 1);
  }
  bool elementwise(NodeId n) const { return is_pointwise(node(n).op) && node(n).op != Op::stop_gradient; }
  bool is_reduction(NodeId n) const {
    const Op op = node(n).op;
    return op == Op::reduce_sum || op == Op::reduce_max || op == Op::reduce_min || op == Op::reduce_prod ||
           op == Op::moments;
  }
  bool free_elementwise(NodeId n) const { return elementwise(n) && group_of_[index(n)] == kUnassigned; }

  int add_group(Group group) {
    const int id = static_cast<int>(groups_.size());
    for (const NodeId n : group.owned) group_of_[index(n)] = id;
    group.reads = makers(group.nodes);
    groups_.push_back(std::move(group));
    group_seen_.push_back(0);
    return id;
  }

  void join(int id, const std::set<NodeId>& nodes, NodeId owned) {
    Group& group = groups_[index(id)];
    group.nodes.insert(nodes.begin(), nodes.end());
    group.owned.insert(owned);
    group.reads = makers(group.nodes);
    group_of_[index(owned)] = id;
  }

  // --- 1. epilogues -----------------------------------------------------------------------------------------------

  void claim_epilogues() {
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const Op op = node(n).op;
      if (op != Op::conv_general && op != Op::dot_general) continue;
      std::set<NodeId> nodes{n};
      ValueId tail = node(n).outputs[0];
      while (true) {
        std::set<NodeId> longer = nodes;
        const NodeId next = epilogue_after(tail, longer);
        if (next == kNone || !oracle_.ask(make_unit(graph_, longer, {node(next).outputs[0]}, "").body).offer) break;
        nodes = std::move(longer);
        tail = node(next).outputs[0];
      }
      std::set<NodeId> owned;
      for (const NodeId m : nodes)
        if (!inlineable(m)) owned.insert(m);
      add_group({nodes, owned, shape(tail), {}, UnitKind::kernel});
    }
  }

  /// The only user of `tail` if it is an epilogue step; adds it, and the broadcast that feeds it, to `nodes`.
  NodeId epilogue_after(ValueId tail, std::set<NodeId>& nodes) const {
    const auto& users = users_[index(tail)];
    if (users.size() != 1 || is_output_[index(tail)] || group_of_[index(users[0])] != kUnassigned) return kNone;
    const Node& user = node(users[0]);
    if (user.op != Op::relu && user.op != Op::add) return kNone;
    if (user.op == Op::add) {
      const ValueId other = user.inputs[0] == tail ? user.inputs[1] : user.inputs[0];
      if (other == tail) return kNone;
      const NodeId producer = graph_.value(other).producer;
      if (producer != kNone && node(producer).op == Op::broadcast) nodes.insert(producer);
    }
    nodes.insert(users[0]);
    return users[0];
  }

  // --- 4 (first, so that the others know what must be in memory). single nodes --------------------------------------

  void claim_others() {
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      if (group_of_[index(n)] != kUnassigned || elementwise(n) || inlineable(n) || is_reduction(n) ||
          node(n).op == Op::constant)
        continue;
      Group group{{n}, {n}, {}, {}, UnitKind::kernel};
      if (node(n).op == Op::reshape || node(n).op == Op::stop_gradient) group.kind = UnitKind::view;
      if (class_of(node(n).op) == OpClass::collective) group.kind = UnitKind::collective;
      add_group(std::move(group));
    }
  }

  /// Whether `v` has to be in memory whatever reductions and elementwise kernels do.
  bool materialised(ValueId v) const {
    if (is_output_[index(v)]) return true;
    return std::any_of(users_[index(v)].begin(), users_[index(v)].end(),
                       [&](NodeId u) { return !inlineable(u) && !is_reduction(u) && !free_elementwise(u); });
  }

  // --- 2. reductions ------------------------------------------------------------------------------------------------

  struct Cone {
    std::set<NodeId> nodes;
    std::set<ValueId> operands;  ///< of the iteration shape
  };

  /// The elementwise nodes that make `v`, as far as they need not be in memory; empty when recomputing costs too much.
  Cone cone_of(ValueId v, const Shape& iteration) const {
    Cone cone;
    std::vector<ValueId> stack{v};
    std::set<ValueId> seen;
    while (!stack.empty()) {
      const ValueId value = stack.back();
      stack.pop_back();
      if (!seen.insert(value).second) continue;
      const NodeId n = graph_.value(value).producer;
      const bool inside =
          n != kNone && shape(value) == iteration && (inlineable(n) || (free_elementwise(n) && !materialised(value)));
      if (!inside) {
        if (shape(value) == iteration) cone.operands.insert(value);
        continue;
      }
      cone.nodes.insert(n);
      if (!inlineable(n)) stack.insert(stack.end(), node(n).inputs.begin(), node(n).inputs.end());
    }
    if (static_cast<int>(cone.operands.size()) > kMaxPrologueOperands ||
        static_cast<int>(cone.nodes.size()) > kMaxPrologueNodes)
      return {{}, {v}};
    return cone;
  }

  void claim_reductions() {
    std::vector<int> open;  // reduction groups that later ones may join
    std::map<int, std::set<ValueId>> operands;
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      if (!is_reduction(n) || group_of_[index(n)] != kUnassigned) continue;
      const ValueId v = node(n).inputs[0];
      Cone cone = cone_of(v, shape(v));
      Group group{cone.nodes, {n}, shape(v), node(n).attributes.integers("dims"), UnitKind::kernel};
      group.nodes.insert(n);
      const int joined = node(n).op == Op::moments ? kUnassigned : reduction_to_join(group, cone, open, operands);
      if (joined != kUnassigned) {
        join(joined, group.nodes, n);
        operands[joined].insert(cone.operands.begin(), cone.operands.end());
        continue;
      }
      if (!accepted(group)) group.nodes = {n};
      const bool mergeable = node(n).op != Op::moments;
      const int id = add_group(std::move(group));
      operands[id] = cone.operands;
      if (mergeable) open.push_back(id);
    }
  }

  int reduction_to_join(const Group& mine, const Cone& cone, const std::vector<int>& open,
                        const std::map<int, std::set<ValueId>>& operands) {
    for (auto it = open.rbegin(); it != open.rend(); ++it) {
      const Group& theirs = groups_[index(*it)];
      if (theirs.iteration != mine.iteration || theirs.reduced != mine.reduced) continue;
      const auto& held = operands.at(*it);
      if (std::none_of(cone.operands.begin(), cone.operands.end(), [&](ValueId v) { return held.count(v) != 0; }))
        continue;
      if (makes_cycle(*it, mine.nodes, mine.owned)) continue;
      Group merged = theirs;
      merged.nodes.insert(mine.nodes.begin(), mine.nodes.end());
      merged.owned.insert(mine.owned.begin(), mine.owned.end());
      if (static_cast<int>(merged.nodes.size()) <= kMaxGroupNodes && accepted(merged)) return *it;
    }
    return kUnassigned;
  }

  // --- 3. elementwise -----------------------------------------------------------------------------------------------

  void claim_pointwise() {
    const std::vector<bool> needed = needed_nodes();
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      if (!needed[index(n)] || group_of_[index(n)] != kUnassigned) continue;
      if (inlineable(n)) {  // somebody reads it from memory
        add_group({{n}, {n}, shape(node(n).outputs[0]), {}, UnitKind::kernel});
        continue;
      }
      const Shape& iteration = shape(node(n).outputs[0]);
      const std::set<NodeId> added = with_inlined_operands(n, iteration);
      int best = kUnassigned;
      for (const ValueId v : node(n).inputs) {
        const NodeId producer = graph_.value(v).producer;
        const int g = producer == kNone ? kUnassigned : group_of_[index(producer)];
        if (g > best && joinable(g, added, n, iteration)) best = g;
      }
      if (best == kUnassigned) {
        add_group({added, {n}, iteration, {}, UnitKind::kernel});
      } else {
        join(best, added, n);
      }
    }
  }

  /// Elementwise and inlineable nodes whose results have to exist in memory or feed one that has.
  std::vector<bool> needed_nodes() const {
    std::vector<bool> needed(graph_.nodes().size(), false);
    std::vector<ValueId> stack;
    for (const GraphOutput& o : graph_.outputs()) stack.push_back(o.value);
    for (const Group& g : groups_)
      for (const NodeId n : g.nodes)
        for (const ValueId v : node(n).inputs) {
          const NodeId producer = graph_.value(v).producer;
          if (producer != kNone && !g.nodes.count(producer)) stack.push_back(v);
        }
    while (!stack.empty()) {
      const NodeId n = graph_.value(stack.back()).producer;
      stack.pop_back();
      if (n == kNone || needed[index(n)] || group_of_[index(n)] != kUnassigned || node(n).op == Op::constant) continue;
      needed[index(n)] = true;
      // What an elementwise node reads through an inlineable one is read from memory only behind that one.
      for (const ValueId v : node(n).inputs) {
        const NodeId p = graph_.value(v).producer;
        if (p != kNone && inlineable(p) && elementwise(n)) {
          for (const ValueId w : node(p).inputs) stack.push_back(w);
        } else {
          stack.push_back(v);
        }
      }
    }
    return needed;
  }

  std::set<NodeId> with_inlined_operands(NodeId n, const Shape& iteration) const {
    std::set<NodeId> nodes{n};
    for (const ValueId v : node(n).inputs) {
      const NodeId p = graph_.value(v).producer;
      if (p != kNone && inlineable(p) && shape(v) == iteration && node(p).op != Op::constant) nodes.insert(p);
    }
    return nodes;
  }

  /// Whether `n`, with what is copied along with it, can become part of group `g`.
  bool joinable(int g, const std::set<NodeId>& added, NodeId n, const Shape& iteration) {
    const Group& group = groups_[index(g)];
    if (group.kind != UnitKind::kernel || group.iteration != iteration || !group.reduced.empty()) return false;
    if (!std::all_of(group.owned.begin(), group.owned.end(), [&](NodeId m) { return elementwise(m); })) return false;
    Group merged = group;
    merged.nodes.insert(added.begin(), added.end());
    if (static_cast<int>(merged.nodes.size()) > kMaxGroupNodes) return false;
    if (static_cast<int>(externals(merged.nodes).size()) > kMaxGroupOperands) return false;
    return !makes_cycle(g, added, {n});
  }

  // --- shared -------------------------------------------------------------------------------------------------------

  std::set<ValueId> externals(const std::set<NodeId>& nodes) const {
    std::set<ValueId> values;
    for (const NodeId n : nodes)
      for (const ValueId v : node(n).inputs) {
        const NodeId p = graph_.value(v).producer;
        if ((p == kNone || !nodes.count(p)) && !is_scalar_constant(graph_, v)) values.insert(v);
      }
    return values;
  }

  /// The nodes that make what `nodes` read from outside.
  std::vector<NodeId> makers(const std::set<NodeId>& nodes) const {
    std::vector<NodeId> result;
    for (const NodeId n : nodes)
      for (const ValueId v : node(n).inputs) {
        const NodeId p = graph_.value(v).producer;
        if (p != kNone && !nodes.count(p)) result.push_back(p);
      }
    return result;
  }

  /// Whether group `g`, with `nodes` (of which `owned` are its own and the rest copies) joined to it, would depend on
  /// itself through something outside. Groups run whole: reading one result of a group is depending on all that it
  /// reads, whatever the order of the nodes was.
  bool makes_cycle(int g, const std::set<NodeId>& nodes, const std::set<NodeId>& owned) {
    ++stamp_;
    std::vector<NodeId> stack = makers(nodes);
    std::erase_if(stack, [&](NodeId p) { return group_of_[index(p)] == g; });
    for (const NodeId p : groups_[index(g)].reads)
      if (!owned.count(p)) stack.push_back(p);
    while (!stack.empty()) {
      const NodeId p = stack.back();
      stack.pop_back();
      if (std::exchange(node_seen_[index(p)], stamp_) == stamp_) continue;
      const int owner = group_of_[index(p)];
      if (owner == g || owned.count(p)) return true;
      if (owner == kUnassigned) {
        for (const ValueId v : node(p).inputs)
          if (const NodeId maker = graph_.value(v).producer; maker != kNone) stack.push_back(maker);
      } else if (std::exchange(group_seen_[index(owner)], stamp_) != stamp_) {
        const auto& reads = groups_[index(owner)].reads;
        stack.insert(stack.end(), reads.begin(), reads.end());
      }
    }
    return false;
  }

  /// Results that somebody takes from memory: graph outputs, and operands of kernels that hold no copy of their maker.
  std::vector<ValueId> outputs_of(int id) const {
    const Group& group = groups_[index(id)];
    std::vector<ValueId> outputs;
    for (const NodeId n : group.owned)
      for (const ValueId v : node(n).outputs) {
        const auto& users = users_[index(v)];
        const bool read = std::any_of(users.begin(), users.end(), [&](NodeId u) {
          const auto& holders = holders_[index(u)];
          return std::any_of(holders.begin(), holders.end(),
                             [&](int h) { return h != id && !groups_[index(h)].nodes.count(n); });
        });
        if (read || is_output_[index(v)]) outputs.push_back(v);
      }
    return outputs;
  }

  bool accepted(const Group& group) const {
    std::vector<ValueId> outputs;
    for (const NodeId n : group.owned) outputs.insert(outputs.end(), node(n).outputs.begin(), node(n).outputs.end());
    return oracle_.ask(make_unit(graph_, group.nodes, outputs, "").body).offer.has_value();
  }

  std::string name_of_group(const Group& group) const {
    std::string name;
    for (const NodeId n : group.owned) {
      const std::string& part = node(n).name.empty() ? std::string(name_of(node(n).op)) : node(n).name;
      if (name.empty())
        name = part;
      else if (part != name && name.size() + part.size() < 80 && name.find(part) == std::string::npos)
        name += " + " + part;
    }
    return name;
  }

  void append_units(int id, std::vector<Unit>& units) const {
    const Group& group = groups_[index(id)];
    const std::vector<ValueId> outputs = outputs_of(id);
    if (outputs.empty() && group.kind == UnitKind::kernel) return;  // everything that read it recomputes it
    Unit unit = make_unit(graph_, group.nodes, outputs, name_of_group(group));
    unit.kind = group.kind;
    if (group.kind != UnitKind::kernel || oracle_.ask(unit.body).offer) {
      units.push_back(std::move(unit));
      return;
    }
    refuse_or_split(group, unit, units);
  }

  /// One node a kernel; an operand that was inlined becomes a kernel too.
  void refuse_or_split(const Group& group, const Unit& whole, std::vector<Unit>& units) const {
    if (group.nodes.size() == 1) {
      std::string reasons;
      for (const KernelRefusal& r : oracle_.ask(whole.body).refusals)
        reasons += fmt::format("\n  {}: {}", r.implementation, r.reason);
      const Node& n = node(*group.nodes.begin());
      throw UserError(fmt::format("no kernel on {} for operator {} (node '{}', {}):{}", oracle_.target().str(),
                                  name_of(n.op), n.name, graph_.type(n.outputs.at(0)).str(), reasons));
    }
    for (const NodeId n : group.nodes) {
      if (node(n).op == Op::constant) continue;
      Group one{{n}, {n}, {}, {}, UnitKind::kernel};
      Unit unit = make_unit(graph_, one.nodes, node(n).outputs, name_of_group(one));
      if (!oracle_.ask(unit.body).offer) refuse_or_split(one, unit, units);
      units.push_back(std::move(unit));
    }
  }

  std::vector<Unit> build_units() {
    holders_.resize(graph_.nodes().size());
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (const NodeId n : groups_[g].nodes) holders_[index(n)].push_back(static_cast<int>(g));
    std::vector<Unit> units;
    for (std::size_t g = 0; g < groups_.size(); ++g) append_units(static_cast<int>(g), units);
    // A node split out of one group may have been split out of, or owned by, another as well: the first one stands.
    std::set<ValueId> made;
    std::erase_if(units, [&](const Unit& u) {
      const bool again = !u.outputs.empty() &&
                         std::all_of(u.outputs.begin(), u.outputs.end(), [&](ValueId v) { return made.count(v) != 0; });
      if (!again) made.insert(u.outputs.begin(), u.outputs.end());
      return again;
    });
    return units;
  }

  const Graph& graph_;
  const KernelOracle& oracle_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<int> group_of_;  ///< per node: the group that owns it
  // Visited in the search number `stamp_`.
  std::vector<int> node_seen_, group_seen_;
  int stamp_ = 0;
  std::vector<bool> is_output_;  ///< per value: a graph output
  std::vector<Group> groups_;
  std::vector<std::vector<int>> holders_;  ///< per node: the groups that compute it, as owner or as copy
};

}  // namespace

std::vector<Unit> fuse(const Graph& graph, const KernelOracle& oracle) { return Fusion(graph, oracle).run(); }

}  // namespace weft::lowering
