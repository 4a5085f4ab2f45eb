// Emission: the Program from scheduled units.
#pragma once

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Writes buffers in `space`, kernels (equal specs once) and instructions. Arena buffers have no place yet: see
/// memory.hpp.
Program emit(LoweredGraph graph, const std::vector<Step>& steps, std::string role, MemorySpace space);

}  // namespace weft::lowering
