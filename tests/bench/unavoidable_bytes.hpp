// The bytes that a step must move besides its contractions, however well it is fused. Defined on the step graph alone,
// so that no choice of ours changes it:
//
//   - A node's depth is the number of contractions before it on the longest path. Nodes of one depth that feed each
//     other form a region: nothing keeps them from being one pass over memory.
//   - In memory must be: inputs of the graph, its outputs, operands and results of contractions. What passes from one
//     region to another must be too, unless it is elementwise and the later region reads fewer bytes by computing it
//     again from what is in memory.
//   - A region reads each tensor from outside once and writes each of its own that must be in memory once. A
//     normalisation that reads its input twice (statistics, then values) is charged one reading: cut by channels, the
//     second finds it in cache.
//   - What a contraction's epilogue can do is free: where a region turns a result that nobody else reads into another
//     of its size by elementwise nodes alone, the contraction writes that one instead.
//   - Attention and its gradient count as contractions: what lies between their products never is in memory.
//   - Reshapes, transposes and broadcasts move nothing. Gathers and slices read as much as they return.
//
// Bytes inside caches are counted like others, so that small models may come out faster than this bound.
#pragma once

#include <map>
#include <string>

#include "weft/graph.hpp"

namespace weft::bench {

struct UnavoidableBytes {
  double total = 0;
  std::map<ValueId, double> by_region;  ///< keyed by the region's first result: what `--json` shows
};

/// `graph` as fusion sees it: decomposed and simplified.
UnavoidableBytes unavoidable_bytes(const Graph& graph);

/// Matrix products and convolutions; window reductions count as passes over memory.
bool is_matrix_work(Op op);
/// Attention and its gradient.
bool is_attention(Op op);
/// Multiply-adds, times two, of the products inside attention: 2 of them forward, 5 in the gradient, which makes the
/// probabilities again; half of each when causal.
double attention_flops(const Graph& graph, const Node& node);

}  // namespace weft::bench
