// Depthwise convolutions with what stands before and after them: what a body of such a kernel computes.
//
// One operand, `slide`, is what windows slide over; the other side, `line`, is walked position by position. Forward,
// the slide is the input and the line the result; of gradients, the slide is the result's gradient and the line the
// input, so that the gradient to the input and that to the filter read the same windows. Along each of the two spatial
// dimensions, line positions are phases * q + phase, and a tap of that phase reads slide position steps * q + offset.
//
// The slide may be computed by pointwise operators from operands of its shape, channel vectors and numbers. So may what
// is made of the convolution's result on the line's side; sums and moments of that over all but the channels too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weft/graph.hpp"

namespace weft::loops {

struct DepthwiseTap {
  std::int64_t tap = 0;     ///< of the filter, along this dimension
  std::int64_t offset = 0;  ///< slide positions
};

struct DepthwiseAxis {
  std::int64_t slide = 1, line = 1;  ///< extents
  std::int64_t window = 1;
  std::int64_t phases = 1, steps = 1;
  std::vector<std::vector<DepthwiseTap>> taps;  ///< by phase
  std::int64_t first = 0, span = 1;             ///< offsets of all phases begin at `first`, and are so many

  std::int64_t groups() const { return (line + phases - 1) / phases; }  ///< values of q
};

/// A sum over all but the channels.
struct DepthwiseSum {
  const Node* node = nullptr;  ///< reduce_sum or moments
  ValueId of = kNone;
};

struct DepthwiseProblem {
  std::string refusal;                    ///< set: nothing else is
  const Node* convolution = nullptr;      ///< forward or gradient to the input; null: neither
  const Node* filter_gradient = nullptr;  ///< null: none
  ValueId slide = kNone;
  ValueId filter = kNone;        ///< of `convolution`
  ValueId line_operand = kNone;  ///< of `filter_gradient`
  Shape slide_shape, line_shape;
  std::int64_t samples = 1, channels = 1;
  DepthwiseAxis rows, columns;
  std::vector<DepthwiseSum> sums;
  std::vector<ValueId> results;  ///< outputs of the line's shape

  std::int64_t taps() const { return rows.window * columns.window; }
};

/// Whether `body` is of this kind, by its operators alone.
bool is_depthwise(const Graph& body);

/// `body` must outlive the problem.
DepthwiseProblem read_depthwise(const Graph& body);

}  // namespace weft::loops
