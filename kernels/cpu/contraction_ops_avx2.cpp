// The register block of contractions, compiled for avx2.
#define WEFT_SIMD_BYTES 32
#define WEFT_BLOCK_ROWS 6
#define WEFT_CONTRACTION_OPS contraction_ops_avx2
#include "kernels/cpu/contraction_ops.inc"
