// The template of windowed reductions (pooling) and their gradients.
//
// A window is walked tap by tap with the lanes of a vector loop beside each other: along the run of elements that is
// contiguous (the channels of blocked and channels-last layouts), or else along the outputs of the last windowed
// dimension. Outputs whose windows reach over an edge run in loops of their own, so that the others have constant
// bounds. Forward, every row of outputs is parallel work; a gradient adds to the wide side, which it clears first, so
// one batch position (with one block of the run) is one thread's, in order: results repeat at any number of threads.
// Gradients of 16 bits are summed in 32 beside it, and rounded once.
#pragma once

#include "kernels/loops/rows.hpp"

namespace weft::loops {

/// Whether `body` is one windowed operator.
bool is_windowed_body(const Graph& body);

RowsKernel make_windows(const Graph& body, const RowsSchedule& schedule);

}  // namespace weft::loops
