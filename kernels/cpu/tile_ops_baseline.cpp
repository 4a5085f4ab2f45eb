// The operations over tiles, compiled for baseline.
#define WEFT_SIMD_BYTES 16
#define WEFT_TILE_OPS tile_ops_baseline
#include "kernels/cpu/tile_ops.inc"
