// From groups to units.
#include <fmt/format.h>

#include <algorithm>

#include "graph/lowering/body.hpp"
#include "graph/lowering/groups.hpp"
#include "weft/error.hpp"

namespace weft::lowering {
namespace {

class UnitBuilder {
 public:
  UnitBuilder(const Groups& groups, const KernelOracle& oracle) : groups_(groups), oracle_(oracle) {}

  std::vector<Unit> run() {
    holders_.resize(groups_.graph().nodes().size());
    for (std::size_t g = 0; g < groups_.all().size(); ++g)
      for (const NodeId n : groups_[static_cast<int>(g)].nodes) holders_[index(n)].push_back(static_cast<int>(g));
    std::vector<Unit> units;
    for (std::size_t g = 0; g < groups_.all().size(); ++g) append_units(static_cast<int>(g), units);
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

 private:
  /// Results that somebody takes from memory: graph outputs, and operands of kernels that hold no copy of their maker.
  std::vector<ValueId> outputs_of(int id) const {
    const Group& group = groups_[id];
    std::vector<ValueId> outputs;
    for (const NodeId n : group.owned)
      for (const ValueId v : groups_.node(n).outputs) {
        const auto& users = groups_.users(v);
        const bool read = std::any_of(users.begin(), users.end(), [&](NodeId u) {
          const auto& holders = holders_[index(u)];
          return std::any_of(holders.begin(), holders.end(),
                             [&](int h) { return h != id && !groups_[h].nodes.count(n); });
        });
        if (read || groups_.is_output(v)) outputs.push_back(v);
      }
    return outputs;
  }

  std::string name_of_group(const Group& group) const {
    std::string name;
    for (const NodeId n : group.owned) {
      const std::string& part =
          groups_.node(n).name.empty() ? std::string(name_of(groups_.node(n).op)) : groups_.node(n).name;
      if (name.empty())
        name = part;
      else if (part != name && name.size() + part.size() < 80 && name.find(part) == std::string::npos)
        name += " + " + part;
    }
    return name;
  }

  void append_units(int id, std::vector<Unit>& units) const {
    const Group& group = groups_[id];
    const std::vector<ValueId> outputs = outputs_of(id);
    if (outputs.empty() && group.kind == UnitKind::kernel) return;  // everything that read it recomputes it
    Unit unit = make_unit(groups_.graph(), group.nodes, outputs, name_of_group(group));
    unit.kind = group.kind;
    unit.late = group.alone;
    if (group.kind != UnitKind::kernel || taken(unit)) {
      units.push_back(std::move(unit));
      return;
    }
    refuse_or_split(group, unit, units);
  }

  /// As its operands prefer to lie, or in any layout.
  bool taken(const Unit& unit) const {
    return oracle_.ask(unit.body).offer || oracle_.ask(with_input_layouts(unit.body, no_layouts(unit))).offer;
  }
  static std::vector<std::optional<Layout>> no_layouts(const Unit& unit) {
    return std::vector<std::optional<Layout>>(unit.inputs.size());
  }

  /// One node a kernel; an operand that was inlined becomes a kernel too.
  void refuse_or_split(const Group& group, const Unit& whole, std::vector<Unit>& units) const {
    if (group.nodes.size() == 1) {
      std::string reasons;
      for (const KernelRefusal& r : oracle_.ask(with_input_layouts(whole.body, no_layouts(whole))).refusals)
        reasons += fmt::format("\n  {}: {}", r.implementation, r.reason);
      const Node& n = groups_.node(*group.nodes.begin());
      throw UserError(fmt::format("no kernel on {} for operator {} (node '{}', {}):{}", oracle_.target().str(),
                                  name_of(n.op), n.name, groups_.graph().type(n.outputs.at(0)).str(), reasons));
    }
    for (const NodeId n : group.nodes) {
      if (groups_.node(n).op == Op::constant) continue;
      Group one{{n}, {n}, {}, {}, UnitKind::kernel};
      Unit unit = make_unit(groups_.graph(), one.nodes, groups_.node(n).outputs, name_of_group(one));
      if (!taken(unit)) refuse_or_split(one, unit, units);
      units.push_back(std::move(unit));
    }
  }

  const Groups& groups_;
  const KernelOracle& oracle_;
  std::vector<std::vector<int>> holders_;  ///< per node: the groups that compute it, as owner or as copy
};

}  // namespace

std::vector<Unit> units_of(const Groups& groups, const KernelOracle& oracle) {
  return UnitBuilder(groups, oracle).run();
}

}  // namespace weft::lowering
