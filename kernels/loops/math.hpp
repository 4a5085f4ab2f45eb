// Elementary functions as expressions of elementary operators: the same polynomials on every device.
//
// f32 errors against the exact result, in units in the last place, the largest over all 2^32 numbers and the
// instruction sets avx512, avx2 and baseline (kernels flush subnormal numbers to zero): exp 1.009, expm1 3.40, log
// 0.847, log1p 2.47, tanh 1.34, erf 2.77, sigmoid 2.49, silu 2.45 (0 below -88.7, where the result is under 3e-37),
// softplus 2.81, rsqrt 1.50. tests/kernels/cpu/jit/functions_test.cpp holds them to that. Trigonometric functions and
// their inverses, pow, and all functions of f64 are the C library's.
#pragma once

#include "kernels/loops/build.hpp"
#include "weft/graph.hpp"

namespace weft::loops {

/// The value of the pointwise operator of `node` (cast excepted) on operands held as expressions; 16-bit floats are not
/// rounded here. -1 where the operator is not defined for the type.
ExprId pointwise(Builder& b, const Node& node, const std::vector<ExprId>& in);

/// exp of f32 numbers of which none is above 88, such as what softmax subtracts its maximum from: a third less work.
/// Below -87.3, where results begin to be subnormal, it is 0; NaN stays NaN.
ExprId exp_of_differences(Builder& b, ExprId x);

/// 2 to the power of f32 numbers of which none is above 127, to 1.1e-4 of the result, exactly 1 for 0: for what is
/// rounded to bf16. Below -126.5 it is 0; NaN stays NaN.
ExprId exp2_for_bf16(Builder& b, ExprId x);

}  // namespace weft::loops
