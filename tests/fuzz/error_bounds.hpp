// What a graph computes in real arithmetic, and how far arithmetic in the graph's own types may be from it.
//
// Every value is evaluated in f64 beside a bound of its error, which each operator passes on and adds to (running error
// analysis: N. Higham, Accuracy and Stability of Numerical Algorithms, 3.3). So what cancels may differ, and what
// nothing was rounded for may not; a wrong index, a missed element or a wrong formula is far outside the bound. Where
// rounding may decide (a comparison of nearly equal numbers, a sum that overflows), the bound is infinite. A number
// that f32 absorbs (1 beside a mask of -1e9) is left out, so that what follows from that is held to.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weft/graph.hpp"
#include "weft/tensor.hpp"

namespace weft::fuzz {

struct Bounded {
  Tensor value;  ///< f64 for floats, the value's own type otherwise
  Tensor error;  ///< f64, at least 0; infinite: not determined
};

/// By name of the graph's outputs. `graph` holds no control flow and no collectives; composites are decomposed.
std::map<std::string, Bounded> bounded(const Graph& graph, const std::map<std::string, Tensor>& inputs);

/// How `got` breaks its bound, in words, or "" when it does not. Adds the number of elements looked at, and of those
/// that were determined, to `elements` and `determined` where they are given.
std::string violation(const Tensor& got, DType type, const Bounded& want, std::int64_t* elements = nullptr,
                      std::int64_t* determined = nullptr);

}  // namespace weft::fuzz
