// The template of generated kernels: rows. One kernel for elementwise chains, reductions, and what mixes both along
// rows (softmax, normalisations, their gradients): each row is walked once a stage, and stays in the cache between.
//
// Loops, outermost first: kept loops, shared among threads; then either
//   rows     the reduced loops, the innermost of them a vector loop: memory runs along the rows; or
//   columns  a vector loop over the kept loop that is innermost in memory, and the reduced loops inside it, so that
//            each lane is a row of its own. Without a reduction there are only columns.
// Results along the rows that need no reduction are written while the rows are reduced. Where there are too few rows to
// keep a team busy and nothing waits for what they reduce to, rows are cut into chunks, whose partial results go
// through scratch and are joined in order by a second phase. Cuts depend on extents alone, and a schedule's choices
// change no sum's order, so results repeat bit for bit at any number of threads. Sums of floats are accumulated in f64.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/loops/ir.hpp"
#include "kernels/loops/schedule.hpp"
#include "weft/graph.hpp"

namespace weft::loops {

struct RowsKernel {
  std::string refusal;  ///< not empty: why there is no kernel
  Graph body;           ///< with a layout on every input and output
  Kernel kernel;        ///< arguments: the body's inputs, its outputs, scratch where there is some
  std::int64_t scratch_bytes = 0;
  double flops = 0;                  ///< of contractions in it
  bool overwrites_operands = false;  ///< a result may lie exactly over an operand of its element size and layout
};

RowsKernel make_rows(const Graph& body, const RowsSchedule& schedule);

}  // namespace weft::loops
