// Elementwise operators in plain C++, one element after the other: what generated code is compared with.
#pragma once

#include <cstdint>

#include "weft/dtype.hpp"
#include "weft/op.hpp"

namespace weft::cpu {

/// out[i] = f(in[0][i], in[1][i], …) for i < n.
using ScalarLoop = void (*)(const void* const* in, void* out, std::int64_t n);

/// Over the types in which values are computed; nullptr when the operator is not defined for the type.
ScalarLoop scalar_unary(Op op, DType type, bool approximate_gelu);
ScalarLoop scalar_binary(Op op, DType type);
ScalarLoop scalar_compare(Op op, DType type);
ScalarLoop scalar_select(DType type);
/// Between storage types (16-bit floats included).
ScalarLoop scalar_cast(DType from, DType to);
/// f32 values rounded to f16 or bf16 and back; nullptr for other types.
ScalarLoop scalar_round(DType to);

}  // namespace weft::cpu
