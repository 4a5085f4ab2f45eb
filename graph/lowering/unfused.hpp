// What stands in for fusion and the layout pass where they are switched off.
#pragma once

#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

/// Every node a unit of its own, as `fuse` makes them; scalar constants are copied into their readers. Throws UserError
/// naming node and refusals where the device has no kernel for it.
std::vector<Unit> one_node_units(const Graph& graph, const std::vector<std::vector<NodeId>>& buckets,
                                 const KernelOracle& oracle);

/// Asks another oracle for kernels with row-major operands and results, and lets kernels that are to be had only in
/// other layouts have them.
class RowMajorOracle final : public KernelOracle {
 public:
  explicit RowMajorOracle(const KernelOracle& oracle) : oracle_(oracle) {}
  const Target& target() const override { return oracle_.target(); }
  KernelAnswer ask(const Graph& body) const override;

 private:
  const KernelOracle& oracle_;
};

}  // namespace weft::lowering
