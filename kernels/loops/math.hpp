// Elementary functions as expressions of elementary operators: the same polynomials on every device.
//
// f32 errors against the exact result, in units in the last place, over normal numbers (kernels flush others to zero):
// exp 1, expm1 4, log 1, log1p 3, tanh 2, erf 3, sigmoid 3. Trigonometric functions and their inverses, pow, and all
// functions of f64 are the C library's.
#pragma once

#include "kernels/loops/build.hpp"
#include "weft/graph.hpp"

namespace weft::loops {

/// The value of the pointwise operator of `node` (cast excepted) on operands held as expressions; 16-bit floats are not
/// rounded here. -1 where the operator is not defined for the type.
ExprId pointwise(Builder& b, const Node& node, const std::vector<ExprId>& in);

}  // namespace weft::loops
