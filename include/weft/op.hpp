// The names of all operators. Their rules (attributes, shapes, gradients, placement, decomposition) are stated once
// each in graph/ir/ops; devices see these names in the bodies of kernels.
//
// Primitives are what a device must implement; composites decompose into primitives, and a device may claim them whole.
// Semantics, where `x`, `y` are operands and [] the result:
//
//   constant    a literal.   iota {dtype, shape, axis}: the index along axis.   cast x {dtype}.
//   Elementwise operators take operands of one shape; broadcasting is explicit. Integers wrap; a shift by the width or
//               more gives 0 (-1 for a negative signed x, right); x / 0 and x rem 0 of integers are 0; div truncates
//               and rem has the sign of x, as in C.
//   reshape     x {shape}.
//   broadcast   x {shape, dims}: operand dimension i becomes result dimension dims[i]; its extent is equal or 1.
//               dims ascend.
//   transpose   x {order}: result dimension i is operand dimension order[i].
//   slice       x {start, limit, stride}: per dimension, stride >= 1, limit exclusive.
//   pad         x, scalar {low, high, interior}: low and high may be negative (crop); interior is between elements.
//   concat      x... {axis}.   reverse x {dims}.
//   gather      x, indices {axis}: x.shape[:axis] + indices.shape + x.shape[axis+1:]. An index outside [0, extent)
//               reads NaN (0 for other than floats): never other memory.
//   scatter_add indices, updates {axis, shape}: the adjoint of gather: a zero tensor of `shape`, each slice of updates
//               added at its index; an index outside the range is dropped.
//   gather_nd   x, indices {batch_dims}: ONNX GatherND, non-negative indices; out of range as for gather.
//   scatter_nd  x, indices, updates {kind: replace|add|mul|max|min}: ONNX ScatterND on a copy of x; the last writer in
//               row-major order wins for replace.
//   gather_elements x, indices {axis};  scatter_elements x, indices, updates {axis, kind}: ONNX GatherElements and
//               ScatterElements, non-negative indices.
//   reduce_*    x {dims}: those dimensions are removed. sum of integers wraps; max of nothing is the lowest value.
//   argmax/argmin x {axis, last}: i64, axis removed; the first (last=1: last) of equals; NaN counts as
//               largest/smallest.
//   cumsum      x {axis, exclusive, reverse}.
//   top_k       x {axis, k, largest}: values and i64 indices, sorted, ties by lower index.
//   dot_general x, y {x_batch, y_batch, x_contract, y_contract}: result dims: batch, x's free, y's free, in order.
//               Sums of f16 and bf16 accumulate in f32; the result has the operands' type, unless an attribute
//               `dtype`, of the convolutions below too, asks for f32.
//   conv_general x [N, C, spatial...], w [O, C/groups, spatial...] {strides, pads_low, pads_high, dilations, groups}.
//   conv_data_grad dy, w {same, input_shape};  conv_filter_grad x, dy {same, filter_shape}: its two adjoints.
//   reduce_window_max/_sum x {window, strides, pads_low, pads_high, dilations}: one entry per dimension; padding never
//               wins (max) or adds (sum).
//   reduce_window_max_grad x, dy {same}: dy goes to the first maximum of its window in row-major order.
//   reduce_window_sum_grad dy {same, input_shape}.
//   random_bits seed i64, step i64, sample_offset i64 {id, shape, sample_dim}: u32, Philox4x32-10 (Salmon et
//               al., SC11). The counter is (j / 4, sample, step, id) and the key seed's two halves, where `sample` is
//               sample_offset plus the index along sample_dim (0 when sample_dim is -1) and j the row-major index of
//               the element among the other dimensions; word j mod 4 is taken. All modulo 2^32. Independent of layout,
//               micro-batch and mesh.
//               With start i64 [rank] and {whole}: the part of those of shape `whole` whose first element is at start
//               (start and `whole` are not looked at along sample_dim).
//   if / while  see graph.hpp (bodies).
//   Collectives {axes, ...} run over the ranks along the named mesh axes; parts are equal, cut along dimension 0.
//   all_reduce x {kind: sum|max|min}.   all_gather x {size}: dimension 0 times `size`, the number of ranks.
//   reduce_scatter x {size, kind}: dimension 0 over `size`.   all_to_all x {size}.   collective_broadcast x {root}.
//   send x {peer}: no result.   receive {peer, dtype, shape}.
//
//   Composites:
//   relu, sigmoid, softplus, silu x;  gelu x {approximate: none|tanh};  softmax, log_softmax x {axis}.
//   cross_entropy logits, labels {axis, ignore_index, label_smoothing}: labels are integers of logits' shape without
//               axis; the result has labels' shape and logits' type: the loss of each position, 0 where the label is
//               ignore_index, NaN where it is otherwise outside [0, classes). Smoothing as in PyTorch.
//   moments     x {dims}: mean and biased variance over dims, which are removed.
//   batch_norm  x, scale, bias {axis, epsilon, groups}: y, mean, variance. Dimension 0 is cut into `groups` equal runs
//   of
//               samples, each normalised by its own biased moments over all dimensions but `axis`; mean and variance
//               are [groups, extent of axis].
//               Inference form, as import leaves it for training to find: x, scale, bias, running_mean, running_var
//               {axis, epsilon, momentum, groups=0}: y only, normalised with the running statistics; momentum is the
//               fraction of the old value kept.
//   batch_norm_grad dy, x, scale, mean, variance {same}: dx, dscale, dbias.
//   layer_norm  x, scale, bias {axis, epsilon}: over dimensions axis and up; scale and bias have their shape.
//   dropout     x, seed, step, sample_offset {ratio, id, sample_dim}: inverted dropout; kept where the random_bits of
//   the
//               same id and shape, as a fraction of 2^32, is at least ratio. With x alone {ratio, id=0, sample_dim=0}:
//               the inference form, the identity.
//   attention   q [B, T, H, D], k [B, S, G, D], v [B, S, G, E], optionally mask [B|1, H|1, T|1, S] {scale, causal,
//   offset,
//               zero_masked}: y [B, T, H, E], most and share [B, H, T]. Query head h reads key and value head h / (H /
//               G). With s = scale q k' (+ mask of floats; -infinity where a mask of booleans is false, and, with
//               causal, for keys beyond the query's index + offset): y = softmax(s) v, most = the greatest s of the
//               keys, and share = 1 / sum exp(s - most), the probability of a key with that s. All are computed in f32
//               (f64 for f64), which is also the type of most and share. A query whose every key is masked by -infinity
//               gives NaN, and share NaN; with zero_masked all three are 0.
//   attention_grad dy, q, k, v, y, most, share, optionally mask {same}: dq, dk, dv. The mask is not differentiated.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weft {

enum class OpClass : std::uint8_t {
  source,
  unary,
  binary,
  compare,
  ternary,
  movement,
  indexing,
  reduction,
  contraction,
  control,
  collective,
  composite
};

// One line an operator: X(identifier, class).
// clang-format off
#define WEFT_OPS(X) \
  X(constant, source)                    \
  X(iota, source)                        \
  X(random_bits, source)                 \
  X(neg, unary)                          \
  X(abs, unary)                          \
  X(sign, unary)                         \
  X(exp, unary)                          \
  X(expm1, unary)                        \
  X(log, unary)                          \
  X(log1p, unary)                        \
  X(sqrt, unary)                         \
  X(rsqrt, unary)                        \
  X(reciprocal, unary)                   \
  X(sin, unary)                          \
  X(cos, unary)                          \
  X(tan, unary)                          \
  X(asin, unary)                         \
  X(acos, unary)                         \
  X(atan, unary)                         \
  X(sinh, unary)                         \
  X(cosh, unary)                         \
  X(asinh, unary)                        \
  X(acosh, unary)                        \
  X(atanh, unary)                        \
  X(tanh, unary)                         \
  X(erf, unary)                          \
  X(floor, unary)                        \
  X(ceil, unary)                         \
  X(round_even, unary)                   \
  X(logical_not, unary)                  \
  X(bit_not, unary)                      \
  X(is_nan, unary)                       \
  X(is_inf, unary)                       \
  X(cast, unary)                         \
  X(stop_gradient, unary)                \
  X(reorder, unary)                      \
  X(add, binary)                         \
  X(sub, binary)                         \
  X(mul, binary)                         \
  X(div, binary)                         \
  X(rem, binary)                         \
  X(pow, binary)                         \
  X(maximum, binary)                     \
  X(minimum, binary)                     \
  X(logical_and, binary)                 \
  X(logical_or, binary)                  \
  X(logical_xor, binary)                 \
  X(bit_and, binary)                     \
  X(bit_or, binary)                      \
  X(bit_xor, binary)                     \
  X(shift_left, binary)                  \
  X(shift_right, binary)                 \
  X(equal, compare)                      \
  X(not_equal, compare)                  \
  X(less, compare)                       \
  X(less_equal, compare)                 \
  X(greater, compare)                    \
  X(greater_equal, compare)              \
  X(select, ternary)                     \
  X(reshape, movement)                   \
  X(transpose, movement)                 \
  X(broadcast, movement)                 \
  X(slice, movement)                     \
  X(pad, movement)                       \
  X(concat, movement)                    \
  X(reverse, movement)                   \
  X(after, movement)                     \
  X(gather, indexing)                    \
  X(scatter_add, indexing)               \
  X(gather_nd, indexing)                 \
  X(scatter_nd, indexing)                \
  X(gather_elements, indexing)           \
  X(scatter_elements, indexing)          \
  X(reduce_sum, reduction)               \
  X(reduce_max, reduction)               \
  X(reduce_min, reduction)               \
  X(reduce_prod, reduction)              \
  X(argmax, reduction)                   \
  X(argmin, reduction)                   \
  X(cumsum, reduction)                   \
  X(top_k, reduction)                    \
  X(dot_general, contraction)            \
  X(conv_general, contraction)           \
  X(conv_data_grad, contraction)         \
  X(conv_filter_grad, contraction)       \
  X(reduce_window_max, contraction)      \
  X(reduce_window_sum, contraction)      \
  X(reduce_window_max_grad, contraction) \
  X(reduce_window_sum_grad, contraction) \
  X(if_, control)                        \
  X(while_, control)                     \
  X(all_reduce, collective)              \
  X(all_gather, collective)              \
  X(reduce_scatter, collective)          \
  X(all_to_all, collective)              \
  X(collective_broadcast, collective)    \
  X(send, collective)                    \
  X(receive, collective)                 \
  X(relu, composite)                     \
  X(sigmoid, composite)                  \
  X(softplus, composite)                 \
  X(gelu, composite)                     \
  X(silu, composite)                     \
  X(softmax, composite)                  \
  X(log_softmax, composite)              \
  X(cross_entropy, composite)            \
  X(moments, composite)                  \
  X(batch_norm, composite)               \
  X(batch_norm_grad, composite)          \
  X(layer_norm, composite)               \
  X(dropout, composite)                  \
  X(attention, composite)                \
  X(attention_grad, composite)
// clang-format on

enum class Op : std::uint16_t {
#define WEFT_OP_ENUMERATOR(identifier, op_class) identifier,
  WEFT_OPS(WEFT_OP_ENUMERATOR)
#undef WEFT_OP_ENUMERATOR
};

#define WEFT_OP_ONE(identifier, op_class) +1
inline constexpr int kOpCount = 0 WEFT_OPS(WEFT_OP_ONE);
#undef WEFT_OP_ONE

/// "add", "dot_general", "if", …
std::string_view name_of(Op op);
OpClass class_of(Op op);
std::optional<Op> op_from_name(std::string_view name);

/// One result element depends on the same element of each operand only.
bool is_pointwise(Op op);

}  // namespace weft
