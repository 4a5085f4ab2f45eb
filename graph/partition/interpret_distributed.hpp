// Several ranks' graphs in lockstep on the host: the oracle for distributed runs.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/mesh.hpp"
#include "weft/tensor.hpp"

namespace weft {

/// Interprets one graph for each rank of the mesh, evaluating all-reduces, all-gathers and reduce-scatters among the
/// ranks that differ along their axes; returns each rank's outputs by name. Throws InternalError, naming rank and node,
/// where ranks do not meet in the same collective.
std::vector<std::map<std::string, Tensor>> interpret_distributed(
    const Mesh& mesh, const std::vector<Graph>& graphs, const std::vector<std::map<std::string, Tensor>>& inputs);

}  // namespace weft
