// Growing groups of rows, one neighbour at a time.
#include "graph/lowering/fuse_rows.hpp"

#include <algorithm>
#include <iterator>

#include "graph/lowering/body.hpp"

namespace weft::lowering {
namespace {

constexpr std::size_t kMostRowNodes = 128;
constexpr std::size_t kMostRowOperands = 24;
// Of a group's readers, and of the groups of one value a row around it, so many are looked at: a number that everybody
// reads has more of them than can be fused.
constexpr std::size_t kMostNeighbours = 128;

class RowFusion {
 public:
  RowFusion(Groups& groups, const KernelOracle& oracle)
      : groups_(groups), oracle_(oracle), holders_(groups.graph().nodes().size()) {
    for (std::size_t g = 0; g < groups.all().size(); ++g)
      for (const NodeId n : groups[static_cast<int>(g)].nodes) holders_[index(n)].insert(static_cast<int>(g));
  }

  void run() {
    for (int id = 0; id < static_cast<int>(groups_.all().size()); ++id) {
      if (!reduces(groups_[id])) continue;
      while (grow(id)) continue;
    }
  }

 private:
  /// Ids of groups.
  using Set = std::set<int>;

  static bool reduces(const Group& g) { return g.kind == UnitKind::kernel && !g.reduced.empty(); }

  /// Extents other than 1, all of them or those that are kept.
  static Dims extents(const Shape& shape, const Dims& without = {}) {
    Dims result;
    for (int d = 0; d < shape.rank(); ++d)
      if (shape[d] != 1 && std::find(without.begin(), without.end(), d) == without.end()) result.push_back(shape[d]);
    return result;
  }

  /// A reshape in which extents of 1 come and go only.
  bool is_unit_reshape(NodeId n) const {
    const Node& node = groups_.node(n);
    return node.op == Op::reshape && extents(groups_.shape(node.inputs[0])) == extents(groups_.shape(node.outputs[0]));
  }

  bool is_elementwise(NodeId n) const {
    const Op op = groups_.node(n).op;
    return groups_.inlineable(n) || is_unit_reshape(n) || (is_pointwise(op) && op != Op::stop_gradient);
  }

  bool is_elementwise(const Group& g) const {
    return g.kind != UnitKind::collective && !g.alone && g.reduced.empty() && !g.nodes.empty() &&
           std::all_of(g.nodes.begin(), g.nodes.end(), [&](NodeId n) { return is_elementwise(n); });
  }

  /// Of elementwise groups, views included.
  Dims extents_of(const Group& g) const { return extents(groups_.shape(groups_.node(*g.owned.rbegin()).outputs[0])); }

  /// Works along the rows of `rows`: elementwise over their whole shape, or reducing them.
  bool is_along(const Group& rows, const Group& g) const {
    if (reduces(g)) return g.iteration == rows.iteration && g.reduced == rows.reduced;
    return is_elementwise(g) && extents_of(g) == extents(rows.iteration);
  }

  /// One value a row.
  bool is_beside(const Group& rows, const Group& g) const {
    return is_elementwise(g) && extents_of(g) == extents(rows.iteration, rows.reduced);
  }

  Set readers_of(int id) const {
    Set result;
    for (const NodeId n : groups_[id].owned)
      for (const ValueId v : groups_.node(n).outputs)
        for (const NodeId u : groups_.users(v))
          for (const int h : holders_[index(u)]) {
            if (result.size() >= kMostNeighbours) return result;
            if (h != id) result.insert(h);
          }
    return result;
  }

  Set makers_of(int id) const {
    Set result;
    for (const NodeId p : groups_[id].reads)
      if (const int owner = groups_.owner(p); owner != kUngrouped && owner != id) result.insert(owner);
    return result;
  }

  /// What may join group `id`, nearest first: each with the groups of one value a row that lead from `id` to it.
  std::vector<Set> candidates(int id) const {
    const Group& rows = groups_[id];
    Set beside, along;
    std::vector<int> stack{id};
    while (!stack.empty()) {
      const int from = stack.back();
      stack.pop_back();
      for (const int reader : readers_of(from)) {
        if (is_along(rows, groups_[reader]))
          along.insert(reader);
        else if (beside.size() < kMostNeighbours && is_beside(rows, groups_[reader]) && beside.insert(reader).second)
          stack.push_back(reader);
      }
    }
    std::vector<Set> result;
    for (const int maker : makers_of(id))
      if (is_along(rows, groups_[maker])) result.push_back({maker});
    for (const int reader : along) {
      Set members{reader};
      std::vector<int> back{reader};
      while (!back.empty()) {
        const int from = back.back();
        back.pop_back();
        for (const int maker : makers_of(from))
          if (beside.count(maker) && members.insert(maker).second) back.push_back(maker);
      }
      result.push_back(std::move(members));
    }
    return result;
  }

  bool grow(int id) {
    for (const Set& members : candidates(id))
      if (try_merge(id, members)) return true;
    return false;
  }

  bool try_merge(int id, const Set& members) {
    Group merged = groups_[id];
    std::set<NodeId> nodes, owned;
    for (const int m : members) {
      nodes.insert(groups_[m].nodes.begin(), groups_[m].nodes.end());
      owned.insert(groups_[m].owned.begin(), groups_[m].owned.end());
    }
    merged.nodes.insert(nodes.begin(), nodes.end());
    merged.owned.insert(owned.begin(), owned.end());
    if (merged.nodes.size() > kMostRowNodes || groups_.operands(merged.nodes).size() > kMostRowOperands) return false;
    if (groups_.makes_cycle(id, nodes, owned)) return false;
    const std::vector<ValueId> outputs = outputs_of(merged, id, members);
    if (outputs.empty() || !accepted(merged.nodes, outputs)) return false;
    for (const int m : members) {
      for (const NodeId n : groups_[m].nodes) {
        holders_[index(n)].erase(m);
        holders_[index(n)].insert(id);
      }
      groups_.merge(id, m);
    }
    return true;
  }

  bool accepted(const std::set<NodeId>& nodes, const std::vector<ValueId>& outputs) const {
    return oracle_.ask(make_unit(groups_.graph(), nodes, outputs, "").body).offer.has_value();
  }

  /// Results of the merged group that others take from memory.
  std::vector<ValueId> outputs_of(const Group& merged, int id, const Set& members) const {
    std::vector<ValueId> outputs;
    for (const NodeId n : merged.owned)
      for (const ValueId v : groups_.node(n).outputs) {
        const auto& users = groups_.users(v);
        const bool read = std::any_of(users.begin(), users.end(), [&](NodeId u) {
          const Set& holders = holders_[index(u)];
          return std::any_of(holders.begin(), holders.end(),
                             [&](int h) { return h != id && !members.count(h) && !groups_[h].nodes.count(n); });
        });
        if (read || groups_.is_output(v)) outputs.push_back(v);
      }
    return outputs;
  }

  Groups& groups_;
  const KernelOracle& oracle_;
  std::vector<Set> holders_;  ///< per node: the groups that compute it, as owner or as copy
};

}  // namespace

void merge_rows(Groups& groups, const KernelOracle& oracle) { RowFusion(groups, oracle).run(); }

}  // namespace weft::lowering
