// A graph cut into segments that run one after the other, on one rank or several, and exchange values.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft {

/// Marks a node that is made where it is read, in each segment that does.
inline constexpr int kWhereRead = -1;

/// An output of the graph, or of one of its segments.
struct SegmentOutput {
  std::string name;
  OutputRole role = OutputRole::fetch;
  ValueId value = kNone;  ///< of the whole graph
  int segment = 0;
};

struct SegmentRules {
  std::vector<int> segment;  ///< by node; operands are never of a later segment
  int segments = 0;
  /// Whether the node is rather made again in `segment` than its results brought there. Never of collectives.
  std::function<bool(NodeId node, int segment)> made_again;
};

/// A value made in one segment and read in later ones: a fetch of the one and a feed of the others, by this name.
struct Crossing {
  std::string name;
  ValueId value = kNone;  ///< of the whole graph
  TensorType type;
  int from = 0;
  std::vector<int> to;  ///< ascending
};

struct CutGraph {
  std::vector<Graph> segments;      ///< in the order of their nodes; inputs are those that are read
  std::vector<Crossing> crossings;  ///< in the order of their values
};

/// `prefix` begins the names of crossings. Nodes of a segment keep their order, so that collectives do.
CutGraph cut_graph(const Graph& graph, const SegmentRules& rules, const std::vector<SegmentOutput>& outputs,
                   const std::string& prefix);

}  // namespace weft
