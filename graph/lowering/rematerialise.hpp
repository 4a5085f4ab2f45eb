// Rematerialisation: results that a training step makes twice, to keep less from its forward for its backward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "weft/graph.hpp"
#include "weft/kernel.hpp"

namespace weft::lowering {

struct RematerialisationOptions {
  double share = 0.025;                   ///< of the time of all contractions that copies may take together
  std::int64_t smallest_bytes = 1 << 20;  ///< of a result that is worth a launch
};

struct Rematerialised {
  Graph graph;
  /// Each list is a kernel of its own, whatever else is fused: it shall run late, and what it reads is there early.
  std::vector<std::vector<NodeId>> kernels;
};

/// Where most of a step is alive, some results wait for readers far behind that point (the gradient of a filter reads
/// what its convolution read) though they could be made again there, elementwise, from others that wait anyway: the
/// result of a batch normalisation and its ReLU from the convolution's. Those that free most bytes a second of their
/// kernels are made again, as long as all kernels together take no more than a share of the contractions' time; both
/// as the oracle estimates them. The same operators on the same operands: no bit changes.
Rematerialised rematerialise(const Graph& graph, const KernelOracle& oracle,
                             const RematerialisationOptions& options = {});

}  // namespace weft::lowering
