// The template of segmented kernels: one elementwise computation over many operands of different lengths, as optimisers
// update all small parameters of a model. The body holds it once for each segment, side by side; the kernel is made
// once and told the length of each segment when it runs, so that one function serves them all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/loops/ir.hpp"
#include "kernels/loops/rows.hpp"
#include "weft/graph.hpp"

namespace weft::loops {

/// Elements of a segment that one index of the kernel's phase handles; its last index handles what is left.
inline constexpr std::int64_t kSegmentBlock = 4096;

struct Segment {
  std::vector<std::size_t> arguments;  ///< among those of the body: the segment's operands, then its results
  std::int64_t elements = 0;
};

struct SegmentsKernel {
  std::string refusal;  ///< not empty: why there is no kernel
  Graph body;           ///< with a layout on every input and output
  Kernel kernel;        ///< of one segment: its arguments, and after them one i64, the number of its elements
  std::vector<Segment> segments;
};

/// Takes bodies of two or more parts that share nothing and compute the same but for their shapes, all row-major.
SegmentsKernel make_segments(const Graph& body, const RowsSchedule& schedule);

}  // namespace weft::loops
