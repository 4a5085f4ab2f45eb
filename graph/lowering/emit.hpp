// Emission: the Program from scheduled units and planned memory.
#pragma once

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Writes buffers, kernels (equal specs once) and instructions; plans the arena in `space`.
Program emit(LoweredGraph graph, const std::vector<Step>& steps, std::string role, MemorySpace space);

}  // namespace weft::lowering
