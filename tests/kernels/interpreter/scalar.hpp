// One value of the loop IR, and its operators one element at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "weft/dtype.hpp"
#include "weft/op.hpp"

namespace weft::loops::testing {

/// Of a type known from elsewhere: floats are held in `real` (f32 exactly), everything else in `integer` (unsigned
/// types zero-extended, booleans 0 or 1).
struct Scalar {
  double real = 0;
  std::int64_t integer = 0;
};

Scalar unary(Op op, DType type, Scalar x);
/// `type` is the operands'.
Scalar binary(Op op, DType type, Scalar x, Scalar y);
/// Rounded once when `fused`, else twice.
Scalar multiply_add(DType type, Scalar x, Scalar y, Scalar z, bool fused);
/// z + both products of pairs of bf16 numbers, held in integers, the low half first.
Scalar dot_pairs(Scalar x, Scalar y, Scalar z, bool fused);
Scalar cast(DType from, DType to, Scalar x);
Scalar bitcast(DType from, DType to, Scalar x);
Scalar round_to(DType type, Scalar x);
Scalar constant(DType type, std::int64_t bits);

/// Memory holds booleans as bytes and 16-bit floats as such; values of those are f32.
Scalar load(DType type, const std::byte* element);
void store(DType type, Scalar x, std::byte* element);

}  // namespace weft::loops::testing
