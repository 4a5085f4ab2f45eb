// Choice among the instruction sets.
#include "kernels/cpu/contraction_ops.hpp"

namespace weft::cpu {

ContractionOps contraction_ops_avx512();
ContractionOps contraction_ops_avx2();
ContractionOps contraction_ops_baseline();

ContractionOps contraction_ops(CpuIsa isa) {
  if (isa == CpuIsa::avx512) return contraction_ops_avx512();
  if (isa == CpuIsa::avx2) return contraction_ops_avx2();
  return contraction_ops_baseline();
}

}  // namespace weft::cpu
