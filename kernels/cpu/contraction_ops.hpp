// The innermost loop of generated contractions: a small block of the result held in registers.
//
// contraction_ops.inc is compiled once for each instruction set. Multiply-adds are fused where the set has them.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.hpp"

namespace weft::cpu {

/// c[i][j] += sum over p < k of a[p][i] * b[p][j], for i < rows and j < columns. `a` and `b` are packed, [k][rows] and
/// [k][columns]; `c` is row-major with `stride` elements a row. Integers wrap.
template <class T>
struct ContractionBlock {
  int rows = 0, columns = 0;
  void (*run)(std::int64_t k, const T* a, const T* b, T* c, std::int64_t stride) = nullptr;
};

struct ContractionOps {
  ContractionBlock<float> f32;
  ContractionBlock<double> f64;
  ContractionBlock<std::uint32_t> u32;
  ContractionBlock<std::uint64_t> u64;
};

ContractionOps contraction_ops(CpuIsa isa);

}  // namespace weft::cpu
