// The register block of contractions, compiled for baseline.
#define WEFT_SIMD_BYTES 16
#define WEFT_BLOCK_ROWS 4
#define WEFT_CONTRACTION_OPS contraction_ops_baseline
#include "kernels/cpu/contraction_ops.inc"
