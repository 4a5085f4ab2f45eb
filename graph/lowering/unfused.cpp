// One node a unit.
#include "graph/lowering/unfused.hpp"

#include "graph/lowering/groups.hpp"

namespace weft::lowering {

std::vector<Unit> one_node_units(const Graph& graph, const std::vector<std::vector<NodeId>>& buckets,
                                 const KernelOracle& oracle) {
  Groups groups(graph);
  for (NodeId n = 0; n < groups.node_count(); ++n) {
    const Node& node = groups.node(n);
    if (node.op == Op::constant) continue;
    Group group{{n}, {n}, {}, {}, UnitKind::kernel};
    if (is_view(node.op)) group.kind = UnitKind::view;
    if (class_of(node.op) == OpClass::collective) group.kind = UnitKind::collective;
    groups.add(std::move(group));
  }
  groups.order_collectives(buckets);
  return units_of(groups, oracle);
}

}  // namespace weft::lowering
