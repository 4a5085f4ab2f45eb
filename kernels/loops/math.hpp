// Elementary functions as expressions of elementary operators: the same polynomials on every device.
//
// f32 errors against the exact result, in units in the last place, over the whole range (tests/kernels/loops measures
// them): exp 1, expm1 2, log 1, log1p 2, tanh 2, erf 3, sigmoid 3, sin and cos 2 (|x| up to 2^20; beyond it the C
// library's). f64 functions are the C library's.
#pragma once

#include "kernels/loops/build.hpp"
#include "weft/graph.hpp"

namespace weft::loops {

/// The value of the pointwise operator of `node` (casts and rounding of 16-bit floats excepted) on operands of type
/// `type` held as expressions. -1 where the operator is not defined for the type.
ExprId pointwise(Builder& b, const Node& node, DType type, const std::vector<ExprId>& in);

}  // namespace weft::loops
