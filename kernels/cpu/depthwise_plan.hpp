// Depthwise convolutions and their gradients as lines: which positions share which taps of the window.
//
// Every direction pairs an operand that is stepped along (`line`: the result of a forward pass or of the gradient to
// the input; the output's gradient, of the gradient to the filter) with one that the window slides over (`slide`).
// Along the innermost spatial dimension the line's positions fall into phases: runs of equal steps in which a tap,
// where it is inside, moves along evenly. Outer dimensions list their taps position by position.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cpu/depthwise_ops.hpp"
#include "weft/graph.hpp"

namespace weft::cpu {

struct DepthwisePlan {
  std::string refusal;  ///< set: nothing else is
  Op op = Op::conv_general;
  ValueId line = kNone, slide = kNone, filter = kNone;

  /// Where one tensor's elements are: offsets of samples and channel blocks, strides of spatial dimensions.
  struct Place {
    std::int64_t sample = 0;
    std::vector<std::int64_t> blocks;
    Dims spatial;
  };
  Place line_place, slide_place;
  std::int64_t samples = 0, channels = 0, taps = 0;
  std::vector<std::int64_t> first_lanes;  ///< per channel block: lanes before it belong to the block before

  /// Taps of an outer position: (position of the sliding operand times its stride, tap times its weight in the filter).
  using OuterTaps = std::vector<std::vector<DepthwiseTap>>;
  std::vector<OuterTaps> outer;  ///< per outer spatial dimension, per position of the line

  /// Positions from..from + count of a phase that share their taps along the innermost dimension.
  struct Run {
    std::int64_t line_offset = 0, count = 0;
    std::vector<DepthwiseTap> taps;  ///< offsets in the sliding operand for the first position
  };
  std::vector<Run> runs;
  std::int64_t line_step = 0, slide_step = 0;  ///< elements from one position of a run to the next
};

/// Of a body of one convolution, forward or gradient, with one channel a group; layouts that are free are chosen and
/// set.
DepthwisePlan plan_depthwise(Graph& body);

}  // namespace weft::cpu
