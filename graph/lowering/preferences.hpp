// Which order of memory suits the activations of convolutions and what lies between them, chosen for all together.
#pragma once

#include <optional>

#include "weft/graph.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

/// `graph` with a layout on every value for which one is worth keeping to: results and operands of convolutions, and
/// what elementwise operators and windows make of them. Values so connected are laid out alike, with their channels in
/// blocks or last; which of the two minimises the time that the oracle estimates for all convolutions, plus that of the
/// reorders where neighbours differ. It is advice: fusion looks at it, and the layout pass settles what kernels get.
Graph with_preferred_layouts(Graph graph, const KernelOracle& oracle);

/// `shape` in the order of another activation's preferred layout, the last block of channels filled up with zeros where
/// they do not divide it; nullopt where more than a third would be zeros.
std::optional<Layout> in_order_of(const Layout& preferred, const Shape& shape);

}  // namespace weft::lowering
