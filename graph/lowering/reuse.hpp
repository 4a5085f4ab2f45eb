// Results over dying operands.
#pragma once

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// Results of kernels that allow it take the memory of an operand of the same size and placement that nobody needs
/// after them.
LoweredGraph reuse_dying_operands(LoweredGraph graph, const std::vector<Step>& steps);

}  // namespace weft::lowering
