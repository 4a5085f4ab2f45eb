// The operations over tiles, compiled for avx2.
#define WEFT_SIMD_BYTES 32
#define WEFT_TILE_OPS tile_ops_avx2
#include "kernels/cpu/tile_ops.inc"
