// The innermost loops of depthwise convolutions, compiled for avx2.
#define WEFT_DEPTHWISE_OUTPUTS 4
#define WEFT_DEPTHWISE_OPS depthwise_ops_avx2
#include "kernels/cpu/depthwise_ops.inc"
