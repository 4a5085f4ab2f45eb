// The template of generated kernels: depthwise convolutions and their gradients, with the pointwise operators before
// and after them and the sums of what they make.
//
// Threads take bands of rows of one sample and one block of channels. What windows slide over is computed row by row
// into a ring of the thread's own, which holds as many rows as a window is high, with zeros around: each element is
// read and computed once (a band's first rows by the band before, too), and windows read it from the first-level cache.
// A gradient to the filter reads the same windows as that to the input. Sums are taken as results are written: in f32
// over a few neighbours and f64 from there on, moments in f64 throughout; bands are joined in order. Cuts depend on
// extents alone, so results repeat bit for bit at any number of threads.
#pragma once

#include "kernels/loops/depthwise_problem.hpp"
#include "kernels/loops/rows.hpp"

namespace weft::loops {

RowsKernel make_depthwise(const Graph& body, const RowsSchedule& schedule);

}  // namespace weft::loops
