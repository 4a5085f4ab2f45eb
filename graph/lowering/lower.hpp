// Lowering: from one rank's step graph to its Program.
#pragma once

#include <string>
#include <vector>

#include "graph/lowering/units.hpp"
#include "weft/graph.hpp"
#include "weft/kernel.hpp"
#include "weft/program.hpp"

namespace weft {

struct LoweringOptions {
  std::string role;                     ///< names the Program
  std::int64_t bucket_bytes = 4 << 20;  ///< gradient bytes an all-reduce
  std::string guard;                    ///< a fetch that is known before any state changes; empty: none
  MemorySpace arena = MemorySpace::host;
};

struct Lowered {
  Program program;
  std::vector<lowering::Decision> decisions;  ///< per kernel: who took it, and who refused
  Graph graph;                                ///< what fusion saw: decomposed and simplified
};

/// Decomposes what the device does not claim, simplifies, buckets collectives, fuses, assigns layouts, schedules and
/// plans memory. Pure: equal graphs, options and oracle answers give equal Programs. Throws UserError naming node and
/// refusals where the device has no kernel.
Lowered lower(const Graph& graph, const KernelOracle& oracle, const LoweringOptions& options);

}  // namespace weft
