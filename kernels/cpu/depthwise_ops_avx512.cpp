// The innermost loops of depthwise convolutions, compiled for avx512.
#define WEFT_DEPTHWISE_OUTPUTS 12
#define WEFT_DEPTHWISE_OPS depthwise_ops_avx512
#include "kernels/cpu/depthwise_ops.inc"
