// The register block of contractions, compiled for avx512.
#define WEFT_SIMD_BYTES 64
#define WEFT_BLOCK_ROWS 8
#define WEFT_CONTRACTION_OPS contraction_ops_avx512
#include "kernels/cpu/contraction_ops.inc"
