// Choice among the instruction sets.
#include "kernels/cpu/depthwise_ops.hpp"

namespace weft::cpu {

DepthwiseOps depthwise_ops_avx512();
DepthwiseOps depthwise_ops_avx2();
DepthwiseOps depthwise_ops_baseline();

DepthwiseOps depthwise_ops(CpuIsa isa) {
  if (isa == CpuIsa::avx512) return depthwise_ops_avx512();
  if (isa == CpuIsa::avx2) return depthwise_ops_avx2();
  return depthwise_ops_baseline();
}

}  // namespace weft::cpu
