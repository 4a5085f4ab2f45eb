// Blocks of scores.
#include "kernels/loops/attention_problem.hpp"

#include <limits>

#include "kernels/loops/math.hpp"

namespace weft::loops {

ExprId AttentionBuilder::element(const StridedView& view, ExprId batch, ExprId row, ExprId head, ExprId column) {
  const ExprId index[] = {batch, row, head, column};
  ExprId sum = number(view.offset);
  for (std::size_t d = 0; d < 4; ++d) sum = add(sum, times(index[d], view.strides[d]));
  return sum;
}

Tile AttentionBuilder::tile(const StridedView& view, std::int32_t buffer, ExprId batch, ExprId row, ExprId head) {
  return {buffer, element(view, batch, row, head, number(0)), view.strides[1], view.strides[3]};
}

Tile AttentionBuilder::pair_tile(const StridedView& view, std::int32_t buffer, ExprId batch, ExprId row, ExprId head) {
  StridedView halved = view;
  halved.offset /= 2;
  for (std::size_t d = 0; d < 3; ++d) halved.strides[d] /= 2;
  return tile(halved, buffer, batch, row, head);
}

ExprId AttentionBuilder::row_element(const StridedView& view, const QueryBlock& rows, ExprId c) {
  return add(add(number(view.offset), times(rows.at.batch, view.strides[0])),
             add(times(rows.at.head, view.strides[1]), times(add(rows.first, c), view.strides[2])));
}

HeadIndex AttentionBuilder::head_of(ExprId number_of_head) {
  const ExprId head = b.binary(Op::rem, number_of_head, number(p.heads));
  return {b.div(number_of_head, number(p.heads)), head, b.div(head, number(p.heads / p.groups))};
}

ExprId AttentionBuilder::visible_keys(const QueryBlock& rows) {
  if (!p.causal) return number(p.keys);
  const ExprId last = add(rows.first, number(rows.count + p.offset));
  const ExprId seen = b.binary(Op::maximum, b.binary(Op::minimum, last, number(p.keys)), number(0));
  if (p.zero_masked || p.offset >= 0) return seen;
  return b.select(b.binary(Op::less, rows.first, number(-p.offset)), number(p.keys), seen);
}

KeyBlock AttentionBuilder::key_block(ExprId index, ExprId visible) {
  const ExprId first = times(index, p.key_block);
  if (!p.causal && p.keys % p.tallest() == 0) return {first, number(p.tallest())};
  return {first, b.binary(Op::minimum, b.sub(visible, first), number(p.key_block))};
}

Stmt AttentionBuilder::pack_transposed(const Tile& from, std::int32_t to, std::int64_t rows, std::int64_t columns,
                                       double factor) {
  const std::int64_t few = columns % 8 == 0 ? 8 : columns % 4 == 0 ? 4 : 1;
  return loop(number(rows), [&](ExprId row) {
    const ExprId line = add(from.start, times(row, from.row));
    return std::vector{loop(number(columns / few), [&](ExprId several) {
      return std::vector{loop(
          number(few),
          [&](ExprId one) {
            const ExprId column = add(times(several, few), one);
            ExprId x = b.load(from.buffer, add(line, times(column, from.column)));
            if (factor != 1) x = b.mul(x, b.real(factor));
            return std::vector{store(to, add(times(column, rows), row), x)};
          },
          LoopKind::unroll)};
    })};
  });
}

Stmt AttentionBuilder::products(const Tile& keys, std::int32_t packed, std::int32_t to, const QueryBlock& rows,
                                const KeyBlock& keys_of, std::int64_t features) {
  Contraction t;
  t.c = whole(to, rows.count);
  t.a = keys;
  t.b = whole(packed, rows.count);
  t.rows = keys_of.count;
  t.depth = number(features);
  t.columns = rows.count;
  return tile_contract(t);
}

ExprId AttentionBuilder::score(std::int32_t packed, std::int32_t mask, const QueryBlock& rows, const KeyBlock& keys,
                               ExprId r, ExprId c) {
  ExprId s = b.load(packed, add(times(r, rows.count), c));
  if (p.pairs) s = b.mul(s, b.real(p.scale));
  const ExprId nothing = b.real(-std::numeric_limits<double>::infinity());
  if (p.mask != nullptr) {
    const ExprId index[] = {rows.at.batch, rows.at.head, add(rows.first, c), add(keys.first, r)};
    ExprId at = number(p.mask->offset);
    for (std::size_t d = 0; d < 4; ++d) at = add(at, times(index[d], p.mask->strides[d]));
    const ExprId x = b.load(mask, at);
    s = p.mask_type == DType::boolean ? b.select(x, s, nothing) : b.add(s, x);
  }
  if (!p.causal) return s;
  // Narrow integers: as many lanes as scores.
  const ExprId least = b.sub(add(keys.first, r), add(rows.first, number(p.offset)));
  return b.select(b.binary(Op::greater_equal, b.cast(c, DType::i32), b.cast(least, DType::i32)), s, nothing);
}

ExprId AttentionBuilder::exponential(ExprId score, ExprId shift) {
  constexpr double kLog2E = 1.44269504088896;
  if (!p.pairs) return exp_of_differences(b, b.sub(score, shift));
  // Scaled as the maximum was: rounded otherwise, a large score would not be 0 from itself.
  if (!masks()) score = b.mul(score, b.real(p.scale));
  return exp2_for_bf16(b, b.mul(b.sub(score, shift), b.real(kLog2E)));
}

ExprId AttentionBuilder::pair(ExprId low, ExprId high) {
  const auto bits = [&](ExprId x) { return b.bitcast(b.round_to(x, DType::bf16), DType::u32); };
  return b.binary(Op::bit_or, b.binary(Op::shift_right, bits(low), b.integer(16, DType::u32)), bits(high));
}

std::vector<Stmt> AttentionBuilder::pack_rows(const Tile& from, std::int32_t to, ExprId count, ExprId lone,
                                              std::int64_t step, std::int64_t partner, std::int64_t columns) {
  const auto rows = [&](ExprId i, bool paired) {
    const ExprId line = add(from.start, times(i, step * from.row));
    return std::vector{vector(columns, kAttentionLanes, [&](ExprId column) {
      const ExprId low = add(line, times(column, from.column));
      const ExprId other = paired ? b.load(from.buffer, add(low, number(partner * from.row))) : b.real(0);
      return std::vector{store(to, add(times(i, columns), column), pair(b.load(from.buffer, low), other))};
    })};
  };
  return {loop(count, [&](ExprId i) { return rows(i, true); }),
          loop(lone, [&](ExprId i) { return rows(add(count, i), false); })};
}

Stmt AttentionBuilder::fill(const Tile& tile, ExprId rows, std::int64_t columns, double value) {
  return loop(rows, [&](ExprId row) {
    return std::vector{vector(columns, kAttentionLanes, [&](ExprId column) {
      const ExprId at = add(add(tile.start, times(row, tile.row)), times(column, tile.column));
      return std::vector{store(tile.buffer, at, b.real(value))};
    })};
  });
}

}  // namespace weft::loops
