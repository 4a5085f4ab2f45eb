// The operations over tiles, compiled for avx512.
#define WEFT_SIMD_BYTES 64
#define WEFT_TILE_OPS tile_ops_avx512
#include "kernels/cpu/tile_ops.inc"
