// Choice of layouts for a loop body: one primary layout of the iteration space, which free operands take.
#pragma once

#include <string>
#include <vector>

#include "kernels/cpu/nest.hpp"
#include "kernels/cpu/tile_graph.hpp"

namespace weft::cpu {

/// `body` with the layouts of the graph's operands (and of `results`, values of the iteration space's shape) set, and
/// the primary layout. `refusal` says why there is none.
struct LoopLayouts {
  Graph body;
  Layout primary;
  std::string refusal;
};
LoopLayouts choose_layouts(const Graph& body, const TileGraph& graph, const std::vector<ValueId>& results);

}  // namespace weft::cpu
