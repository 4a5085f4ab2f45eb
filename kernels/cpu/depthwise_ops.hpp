// The innermost loops of depthwise convolutions: 16 channels side by side, sums held in registers.
//
// depthwise_ops.inc is compiled once for each instruction set. Multiply-adds are fused where the set has them.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.hpp"

namespace weft::cpu {

inline constexpr std::int64_t kDepthwiseLanes = 16;

/// What one position of a window touches: an element of the sliding operand, from a line's start, and a filter tap.
struct DepthwiseTap {
  std::int64_t offset = 0;  ///< elements
  std::int64_t tap = 0;     ///< of [taps][16]
};

struct DepthwiseOps {
  /// out[j * out_step] = sum over taps of filter[tap] * in[offset + j * in_step], 16 channels each, for j < count. Of
  /// the 16 results those from lane `first` on are written.
  void (*line)(const float* in, const DepthwiseTap* taps, std::int64_t tap_count, const float* filter, float* out,
               std::int64_t in_step, std::int64_t out_step, std::int64_t count, std::int64_t first) = nullptr;
  /// sums[tap] += sum over j < count of in[offset + j * in_step] * dy[j * dy_step], 16 channels each.
  void (*accumulate)(const float* in, const DepthwiseTap* taps, std::int64_t tap_count, const float* dy, float* sums,
                     std::int64_t in_step, std::int64_t dy_step, std::int64_t count) = nullptr;
};

DepthwiseOps depthwise_ops(CpuIsa isa);

}  // namespace weft::cpu
