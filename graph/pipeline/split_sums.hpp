// Gradients of a state that several stages read (tied weights): each stage sums up its own share over the passes of a
// step, and the shares are added once, in the update, instead of being sent with every micro-batch.
#pragma once

#include <string>
#include <vector>

#include "graph/pipeline/stages.hpp"
#include "weft/graph.hpp"

namespace weft {

/// A share: state `name` ("accumulate/NAME@2"), whose sum over the step is added to that of `of` ("accumulate/NAME").
struct ShareOfSum {
  std::string name, of;
  TensorType type;
};

/// `pass` with sums a + b of backward values of different stages, which nothing but an accumulated sum reads, as two
/// accumulated sums.
Graph split_sums(const Graph& pass, const StageCut& cut, std::vector<ShareOfSum>& shares);

/// `update` (see update_of_step) with the shares added.
Graph join_sums(const Graph& update, const std::vector<ShareOfSum>& shares);

}  // namespace weft
