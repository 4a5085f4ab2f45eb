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

/// All windows along the last windowed dimension, at one position of the others: element i of output o of a row reads
/// x[outer[t] + (o * stride - low + k * dilation) * x_stride + i], for each t and each k that is inside.
struct WindowRow {
  const std::int64_t* outer = nullptr;  ///< of the taps of the other windowed dimensions, those inside, in order
  std::int64_t outers = 0;
  std::int64_t inputs = 1, outputs = 1, window = 1, stride = 1, low = 0, dilation = 1;
  std::int64_t x_stride = 0, y_stride = 0;
  std::int64_t run = 1;  ///< contiguous elements
};

struct TileOps {
  void (*relu)(const float* x, float* y, std::int64_t n) = nullptr;  ///< `y` may be `x`
  float (*max)(const float* x, std::int64_t n) = nullptr;            ///< n >= 1; NaN wins
  float (*min)(const float* x, std::int64_t n) = nullptr;
  /// Sums down the columns of a row-major [rows, columns] tile, added to accumulators.
  void (*sum_rows)(const float* x, std::int64_t rows, std::int64_t columns, double* sum) = nullptr;

  /// Windows over channel runs: best = max(best, x), NaN wins; and the first position of it.
  void (*max_run)(const float* x, float* best, std::int64_t n) = nullptr;
  void (*max_run_at)(const float* x, std::int32_t position, float* best, std::int32_t* at, std::int64_t n) = nullptr;
  void (*add_run)(const float* x, float* sum, std::int64_t n) = nullptr;
  /// dx[i] += at[i] == position ? dy[i] : 0.
  void (*scatter_run)(const float* dy, const std::int32_t* at, std::int32_t position, float* dx,
                      std::int64_t n) = nullptr;

  /// Rows of windows: maxima (NaN wins) and sums; their gradients are added to dx.
  void (*max_row)(const WindowRow& row, const float* x, float* y) = nullptr;
  void (*sum_row)(const WindowRow& row, const float* x, float* y) = nullptr;
  void (*max_row_grad)(const WindowRow& row, const float* x, const float* dy, float* dx) = nullptr;
  void (*sum_row_grad)(const WindowRow& row, const float* dy, float* dx) = nullptr;

  /// Words of Philox4x32-10 for `blocks` counters from counter[0..3] on, counter[0] counting: four words each.
  void (*philox)(const std::uint32_t* key, const std::uint32_t* counter, std::int64_t blocks,
                 std::uint32_t* to) = nullptr;
};

/// The table compiled for `isa`, which this processor must have.
std::shared_ptr<const TileOps> make_tile_ops(CpuIsa isa);

}  // namespace weft::cpu
