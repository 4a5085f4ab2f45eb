// dot_general as a batched matrix product over strided memory.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft::cpu {

/// One dimension, or several that memory lets one loop walk: an extent and a stride in elements.
struct Run {
  std::int64_t extent = 1;
  std::int64_t stride = 0;  ///< meaningless when the extent is 1
};

/// Merges `dims` of a plain layout, outermost first, into one run; nullopt where memory does not allow it.
std::optional<Run> merge_dims(const Layout& layout, const Dims& dims);

/// Roles of the dimensions of a dot_general.
struct DotDims {
  Dims x_batch, y_batch, x_contract, y_contract, x_free, y_free;
  std::int64_t batch = 1, m = 1, n = 1, k = 1;
};
DotDims dot_dims(const Graph& body, const Node& node);

}  // namespace weft::cpu
