// What placements cost, from shapes alone.
#pragma once

#include "graph/partition/placements.hpp"

namespace weft {

/// Bytes that a rank sends (and receives) to bring a value from one placement into another over `ranks` ranks.
double moved_bytes(const TensorType& type, const AxisPlacement& from, const AxisPlacement& to, int ranks);

/// Multiplications and additions of a contraction; 0 for other nodes.
double flops_of(const Graph& graph, const Node& node);

/// What one rank does in a step.
struct StepCost {
  double flops = 0;        ///< of contractions
  double touched = 0;      ///< bytes of results and of states
  double moved = 0;        ///< bytes through the network
  double collectives = 0;  ///< exchanges
};
StepCost cost_of(const Graph& graph, const Placements& placements, const SplitAxis& axis);

/// A rank and its network, in units a second; the defaults are round figures of a core or two and a fast network. Only
/// ratios matter.
struct CostRates {
  double flops = 1e11, memory = 2e10, network = 5e9, latency = 1e-5;
};
double seconds(const StepCost& cost, const CostRates& rates = {});

}  // namespace weft
