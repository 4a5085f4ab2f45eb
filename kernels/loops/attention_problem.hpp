// What the two attention kernels have in common: their extents, where operands lie, and a block of scores.
#pragma once

#include <algorithm>

#include "kernels/loops/build.hpp"
#include "kernels/loops/strided.hpp"

namespace weft::loops {

/// Of q [batch, queries, heads, features], k [batch, keys, groups, features] and v [batch, keys, groups, values].
struct AttentionProblem {
  std::int64_t batch = 1, queries = 1, keys = 1, heads = 1, groups = 1, features = 1, values = 1;
  double scale = 1;
  bool causal = false, zero_masked = false;
  bool pairs = false;  ///< of bf16 numbers are multiplied: operands as they are, scores scaled afterwards
  std::int64_t offset = 0;
  std::int64_t query_block = 64, key_block = 64;
  const StridedView *q = nullptr, *k = nullptr, *v = nullptr, *mask = nullptr;
  DType mask_type = DType::f32;

  std::int64_t whole_blocks() const { return queries / query_block; }
  std::int64_t rest() const { return queries % query_block; }  ///< queries of the last block, where it is smaller
  std::int64_t blocks() const { return whole_blocks() + (rest() > 0 ? 1 : 0); }
  std::int64_t widest() const { return std::min(queries, query_block); }
  std::int64_t tallest() const { return std::min(keys, key_block); }
  std::int64_t key_blocks() const { return (keys + key_block - 1) / key_block; }
};

/// Sample, head of q, and head of k and v.
struct HeadIndex {
  ExprId batch = -1, head = -1, group = -1;
};

/// Queries from `first` on, `count` of them.
struct QueryBlock {
  HeadIndex at;
  ExprId first = -1;
  std::int64_t count = 0;
};

/// Keys from `first` on, `count` (an expression) of them.
struct KeyBlock {
  ExprId first = -1, count = -1;
};

class AttentionBuilder {
 public:
  AttentionBuilder(Kernel& kernel, const AttentionProblem& problem) : b(kernel), p(problem) {}

  Builder b;
  const AttentionProblem& p;

  ExprId number(std::int64_t value) { return b.integer(value); }
  ExprId add(ExprId x, ExprId y) { return b.add(x, y); }
  ExprId times(ExprId x, std::int64_t y) { return b.mul(x, b.integer(y)); }
  std::int32_t new_index() { return b.kernel().add_index(); }
  std::int32_t variable(DType type = DType::f32) { return b.kernel().add_local({type, true, 0}); }
  std::int32_t own(std::int64_t elements, DType type = DType::f32) {
    return b.kernel().add_buffer({type, -1, elements});
  }
  /// The buffer of an operand, a second time, as pairs.
  std::int32_t pairs_of(std::int32_t buffer) {
    return b.kernel().add_buffer({DType::u32, b.kernel().buffers[static_cast<std::size_t>(buffer)].argument, 0});
  }

  /// A loop over [0, extent): `body(index)` makes its statements.
  template <class Body>
  Stmt loop(ExprId extent, const Body& body, LoopKind kind = LoopKind::serial, int lanes = 1) {
    const std::int32_t index = new_index();
    return loop_of(kind, index, extent, body(b.index(index)), lanes);
  }
  template <class Body>
  Stmt vector(std::int64_t extent, int lanes, const Body& body) {
    return loop(number(extent), body, LoopKind::vector, lanes);
  }

  /// Element (batch, row, head, column) of a view of four dimensions.
  ExprId element(const StridedView& view, ExprId batch, ExprId row, ExprId head, ExprId column);
  /// Rows from `row` on of one head, as a tile.
  Tile tile(const StridedView& view, std::int32_t buffer, ExprId batch, ExprId row, ExprId head);
  /// The same in pairs of features; `buffer` is of u32.
  Tile pair_tile(const StridedView& view, std::int32_t buffer, ExprId batch, ExprId row, ExprId head);
  static Tile transposed(Tile t) { return {t.buffer, t.start, t.column, t.row}; }
  /// All of a thread's own buffer, rows of `columns`.
  Tile whole(std::int32_t buffer, std::int64_t columns) { return {buffer, number(0), columns, 1}; }

  /// Where a number of query `c` of the block lies, in a view [batch, heads, queries].
  ExprId row_element(const StridedView& view, const QueryBlock& rows, ExprId c);
  HeadIndex head_of(ExprId number_of_head);
  /// How many keys, from the first on, any query of the block sees, or turns into NaN because it sees none.
  ExprId visible_keys(const QueryBlock& rows);
  /// The `index`-th block of `visible` keys.
  KeyBlock key_block(ExprId index, ExprId visible);

  /// `to`[column][row] = `factor` times the rows of a block of queries.
  Stmt pack_transposed(const Tile& from, std::int32_t to, std::int64_t rows, std::int64_t columns, double factor);
  /// `to`[key][query] = sum over features.
  Stmt products(const Tile& keys, std::int32_t packed, std::int32_t to, const QueryBlock& rows, const KeyBlock& keys_of,
                std::int64_t features);
  /// The score of key `r` of a block and query `c`, masked; `packed` is what `products` wrote.
  ExprId score(std::int32_t packed, std::int32_t mask, const QueryBlock& rows, const KeyBlock& keys, ExprId r,
               ExprId c);
  ExprId pairs_in(const KeyBlock& keys) { return b.div(keys.count, number(2)); }
  ExprId lone_in(const KeyBlock& keys) { return b.binary(Op::rem, keys.count, number(2)); }
  /// exp(score - shift); `score` as `score` gives it or, where nothing is masked, as `products` wrote it.
  ExprId exponential(ExprId score, ExprId shift);
  bool masks() const { return p.mask != nullptr || p.causal; }
  /// Two numbers as a pair of bf16 numbers, rounded.
  ExprId pair(ExprId low, ExprId high);
  /// `to`[i] = rows i * `step` and i * `step` + `partner` of bf16 numbers as rows of pairs, for i < `count`; where
  /// `lone` is 1 one row more, paired with zeros.
  std::vector<Stmt> pack_rows(const Tile& from, std::int32_t to, ExprId count, ExprId lone, std::int64_t step,
                              std::int64_t partner, std::int64_t columns);
  Stmt fill(const Tile& tile, ExprId rows, std::int64_t columns, double value);
};

/// Lanes of elementwise loops over queries and features.
inline constexpr int kAttentionLanes = 32;

void build_attention(Kernel& kernel, const AttentionProblem& problem, const StridedBody& body);
/// Returns the bytes of scratch.
std::int64_t build_attention_grad(Kernel& kernel, const AttentionProblem& problem, const StridedBody& body,
                                  int threads);

}  // namespace weft::loops
