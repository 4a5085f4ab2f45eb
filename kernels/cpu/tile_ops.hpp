// Vectorised operations over tiles: short contiguous runs of elements that stay in the first-level cache.
//
// One source (tile_ops.inc) is compiled once for each instruction set; results do not depend on which: no fused
// multiply-add, and sums go through a fixed number of lanes.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cpu/isa.hpp"
#include "weft/op.hpp"

namespace weft::cpu {

struct TileOps {
  void (*relu)(const float* x, float* y, std::int64_t n) = nullptr;  ///< `y` may be `x`
  void (*relu_bf16)(std::uint16_t* x, std::int64_t n) = nullptr;     ///< in place; NaN is kept
  float (*max)(const float* x, std::int64_t n) = nullptr;            ///< n >= 1; NaN wins
  float (*min)(const float* x, std::int64_t n) = nullptr;
  /// Sums down the columns of a row-major [rows, columns] tile, added to accumulators.
  void (*sum_rows)(const float* x, std::int64_t rows, std::int64_t columns, double* sum) = nullptr;

  /// Words of Philox4x32-10 for `blocks` counters from counter[0..3] on, counter[0] counting: four words each.
  void (*philox)(const std::uint32_t* key, const std::uint32_t* counter, std::int64_t blocks,
                 std::uint32_t* to) = nullptr;
};

/// The table compiled for `isa`, which this processor must have.
std::shared_ptr<const TileOps> make_tile_ops(CpuIsa isa);

}  // namespace weft::cpu
