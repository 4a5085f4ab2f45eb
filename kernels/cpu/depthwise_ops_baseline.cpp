// The innermost loops of depthwise convolutions, compiled for baseline.
#define WEFT_DEPTHWISE_OUTPUTS 2
#define WEFT_DEPTHWISE_OPS depthwise_ops_baseline
#include "kernels/cpu/depthwise_ops.inc"
