// The template of generated kernels: attention and its gradient, without a matrix of scores in memory.
//
// Scores are made block by block and lie transposed, keys down and queries across, in a buffer of the thread's own: so
// the maximum, the exponentials and their sum over keys run down, a query in each lane, and only the block of queries
// has to be transposed before it is multiplied. Forward (Milakov and Gimelshein, arXiv 1805.02867; Dao, arXiv
// 2307.08691): for each block of queries, over the blocks of keys, with the result rescaled when the maximum rises.
// Gradient: a block of queries makes its probabilities again from two numbers a row, and adds to the gradients of all
// keys and values before the next block does. What is masked as beyond a causal query is not computed, but for the
// corner of a block. Operands and results are read and written as strided views (strided.hpp): heads lie wherever a
// projection wrote them.
//
// Sums are in f32, in an order that extents and `parts` alone decide. Operands in bf16 are widened, or, where the
// target multiplies pairs of bf16 numbers, multiplied as they are; then what is multiplied again, the probabilities (at
// most 1, before they are divided by their sum) and the gradients of scores, is rounded to bf16 once, as it is when
// attention is decomposed; the sums of probabilities are of unrounded ones. Exponentials are then
// near enough for such a rounding (exp2_for_bf16).
#pragma once

#include "kernels/loops/rows.hpp"

namespace weft::loops {

/// Whether `body` holds attention or its gradient.
bool is_attention(const Graph& body);

/// `threads` to keep busy: where samples times heads are fewer, the gradient's queries are cut into parts, whose sums
/// for keys and values go through scratch and are joined in order. `has_pairs`: the target multiplies pairs of bf16
/// numbers in one instruction, and operands in bf16 are multiplied so.
RowsKernel make_attention(const Graph& body, int threads, bool has_pairs = false);

}  // namespace weft::loops
