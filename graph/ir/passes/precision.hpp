// Precision: which values of a step are stored in 16 bits.
#pragma once

#include <functional>

#include "weft/graph.hpp"

namespace weft {

/// How many of a contraction's first operands, and of its first results, it multiplies and may hold in the narrow type:
/// those of attention, but not its mask and its statistic. None for other operators.
struct Multiplied {
  std::size_t operands = 0, results = 0;
};
Multiplied multiplied(Op op);

/// Whether the device multiplies a contraction's operands best in the narrow type, to a result of type `result`.
using TakesNarrow = std::function<bool(const Node& contraction, DType result)>;

/// `graph` with f32 values stored as `narrow` (bf16 or f16); arithmetic stays in f32. Narrow become
///   - the operands of contractions, and what movements (reshape, transpose, slice, …) make them from;
///   - results of contractions (attention and its gradient are such), or of the bias, residual and ReLU that end them,
///   where another contraction depends on
///     them: gradients of parameters come out of the contraction as f32;
///   - what movements and maximum pooling make of narrow values alone, and the gradient of the latter;
///   - large elementwise results that hold nothing but elements of narrow values, or simple fractions of them, and that
///     several read (a gradient behind the mask of a ReLU): they lose nothing;
///   - large elementwise results that readers beyond a contraction need too, unless they follow from one value in
///     memory (then they are cheaper to compute again): the sums that run past the layers of a network.
/// A narrow value is rounded once, and all its readers see the rounded one. Parameters, optimiser states and feeds stay
/// what they are, a contraction reads a rounded copy; so do reductions, statistics, losses, integers, f64, and all that
/// no contraction depends on. Where `takes_narrow` says no, the contraction gets the rounded operands widened to f32:
/// the values are the same. Layouts are dropped.
Graph narrowed(const Graph& graph, DType narrow, const TakesNarrow& takes_narrow);

/// A cast of f16 or bf16 to f32: exact, and free for a kernel that reads the narrow value itself.
bool is_widening(const Graph& graph, const Node& node);

}  // namespace weft
