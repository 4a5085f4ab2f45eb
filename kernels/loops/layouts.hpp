// Layouts of a generated kernel: one order of memory for everything of full extent, row-major for the rest.
#pragma once

#include <string>

#include "kernels/loops/body.hpp"
#include "weft/graph.hpp"
#include "weft/layout.hpp"

namespace weft::loops {

struct SpaceLayouts {
  Graph body;           ///< with a layout on every input and output
  Layout primary;       ///< of the space: the order in which the loops run
  std::string refusal;  ///< not empty: the fixed layouts do not go together
};

/// Sets what `body` leaves free. The first blocked layout that is fixed decides, then the first fixed one, then
/// row-major.
SpaceLayouts choose_layouts(const Graph& body, const Space& space);

}  // namespace weft::loops
