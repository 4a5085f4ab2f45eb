// Explicit vectors of 16 bytes, which every x86-64 processor has: what moves is bound by the caches, not by their
// width.
#include "kernels/cpu/pack_matrix.hpp"

#include <emmintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/cpu/parallel.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kPairs = 16;  // of rows in a block

template <class T>
T read(const std::byte* at) {
  T x;
  std::memcpy(&x, at, sizeof x);
  return x;
}

template <class T>
void write(std::byte* at, T x) {
  std::memcpy(at, &x, sizeof x);
}

__m128i load(const std::byte* at) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at)); }
void save(std::byte* at, __m128i x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(at), x); }

/// Any block, number by number, zeros beyond the edges.
void pack_edge(const std::byte* from, const PlainMatrix& m, std::int64_t row, std::int64_t column, std::int64_t width,
               std::byte* to) {
  const auto number = [&](std::int64_t r, std::int64_t c) -> std::uint32_t {
    if (r >= m.rows || c >= m.columns) return 0;
    return read<std::uint16_t>(from + 2 * (m.by_rows ? r * m.gap + c : c * m.gap + r));
  };
  for (std::int64_t i = 0; i < kPairs; ++i)
    for (std::int64_t j = 0; j < width; ++j) {
      const std::int64_t r = row + 2 * i, c = column + j;
      write(to + 4 * (i * width + j), number(r, c) | number(r + 1, c) << 16);
    }
}

/// A whole block, `width` a multiple of 8, from rows `gap` bytes apart.
void pack_rows(const std::byte* from, std::int64_t gap, std::int64_t width, std::byte* to) {
  for (std::int64_t i = 0; i < kPairs; ++i, from += 2 * gap, to += 4 * width)
    for (std::int64_t j = 0; j < width; j += 8) {
      const __m128i low = load(from + 2 * j), high = load(from + gap + 2 * j);
      save(to + 4 * j, _mm_unpacklo_epi16(low, high));
      save(to + 4 * j + 16, _mm_unpackhi_epi16(low, high));
    }
}

/// The same from columns `gap` bytes apart, in which pairs lie as they are wanted: four by four.
void pack_columns(const std::byte* from, std::int64_t gap, std::int64_t width, std::byte* to) {
  for (std::int64_t j = 0; j < width; j += 4, from += 4 * gap)
    for (std::int64_t i = 0; i < kPairs; i += 4) {
      const std::byte* at = from + 4 * i;
      const __m128i a = load(at), b = load(at + gap), c = load(at + 2 * gap), d = load(at + 3 * gap);
      const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
      const __m128i ab2 = _mm_unpackhi_epi32(a, b), cd2 = _mm_unpackhi_epi32(c, d);
      std::byte* out = to + 4 * (i * width + j);
      save(out, _mm_unpacklo_epi64(ab, cd));
      save(out + 4 * width, _mm_unpackhi_epi64(ab, cd));
      save(out + 8 * width, _mm_unpacklo_epi64(ab2, cd2));
      save(out + 12 * width, _mm_unpackhi_epi64(ab2, cd2));
    }
}

/// `rows` by `columns` numbers, one by one; gaps in bytes.
void transpose_few(const std::byte* from, std::int64_t gap, std::int64_t rows, std::int64_t columns, std::byte* to,
                   std::int64_t to_gap) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      write(to + c * to_gap + 2 * r, read<std::uint16_t>(from + r * gap + 2 * c));
}

/// Eight by eight.
void transpose_eight(const std::byte* from, std::int64_t gap, std::byte* to, std::int64_t to_gap) {
  __m128i x[8], y[8];
  for (int r = 0; r < 8; ++r) x[r] = load(from + r * gap);
  for (int r = 0; r < 4; ++r)
    y[2 * r] = _mm_unpacklo_epi16(x[2 * r], x[2 * r + 1]), y[2 * r + 1] = _mm_unpackhi_epi16(x[2 * r], x[2 * r + 1]);
  for (int r = 0; r < 2; ++r)
    for (int h = 0; h < 2; ++h) {
      x[4 * r + 2 * h] = _mm_unpacklo_epi32(y[4 * r + h], y[4 * r + 2 + h]);
      x[4 * r + 2 * h + 1] = _mm_unpackhi_epi32(y[4 * r + h], y[4 * r + 2 + h]);
    }
  for (int c = 0; c < 4; ++c) {
    save(to + 2 * c * to_gap, _mm_unpacklo_epi64(x[c], x[4 + c]));
    save(to + (2 * c + 1) * to_gap, _mm_unpackhi_epi64(x[c], x[4 + c]));
  }
}

/// Rows in eights: each line of the source is used up at once.
void transpose_tile(const std::byte* from, std::int64_t gap, std::int64_t rows, std::int64_t columns, std::byte* to,
                    std::int64_t to_gap) {
  const std::int64_t tall = rows / 8 * 8, wide = columns / 8 * 8;
  for (std::int64_t r = 0; r < tall; r += 8)
    for (std::int64_t c = 0; c < wide; c += 8)
      transpose_eight(from + r * gap + 2 * c, gap, to + c * to_gap + 2 * r, to_gap);
  transpose_few(from + tall * gap, gap, rows - tall, columns, to + 2 * tall, to_gap);
  transpose_few(from + 2 * wide, gap, tall, columns - wide, to + wide * to_gap, to_gap);
}

}  // namespace

std::optional<BlockedMatrix> blocked_matrix(const Layout& layout) {
  const std::vector<Layout::Block>& b = layout.blocks;
  if (layout.shape.rank() != 2 || b.size() != 3) return std::nullopt;
  if (b[0] != Layout::Block{0, kPairs} || b[1].dimension != 1 || b[2] != Layout::Block{0, 2}) return std::nullopt;
  return BlockedMatrix{b[1].size, layout.strides[0], layout.strides[1]};
}

void pack_blocks(const std::byte* from, const PlainMatrix& plain, std::byte* to, const BlockedMatrix& blocks,
                 int threads) {
  const std::int64_t width = blocks.width;
  const std::int64_t down = (plain.rows + 2 * kPairs - 1) / (2 * kPairs), across = (plain.columns + width - 1) / width;
  const auto pack = [&](std::int64_t k, std::int64_t n) {
    const std::int64_t row = 2 * kPairs * k, column = width * n;
    std::byte* at = to + 2 * (k * blocks.row_step + n * blocks.column_step);
    const bool whole = row + 2 * kPairs <= plain.rows && column + width <= plain.columns && width % 8 == 0;
    if (!whole)
      pack_edge(from, plain, row, column, width, at);
    else if (plain.by_rows)
      pack_rows(from + 2 * (row * plain.gap + column), 2 * plain.gap, width, at);
    else
      pack_columns(from + 2 * (column * plain.gap + row), 2 * plain.gap, width, at);
  };
  parallel_ranges(threads, down * across, 1, plain.rows * plain.columns,
                  [&](int, std::int64_t begin, std::int64_t end) {
                    for (std::int64_t i = begin; i < end; ++i)
                      plain.by_rows ? pack(i / across, i % across) : pack(i % down, i / down);
                  });
}

void transpose_matrix(const std::byte* from, const PlainMatrix& plain, std::byte* to, int threads) {
  constexpr std::int64_t kTile = 32;  // a cache line each way
  const std::int64_t rows = plain.rows, columns = plain.columns, gap = plain.gap;
  const std::int64_t across = (columns + kTile - 1) / kTile, down = (rows + kTile - 1) / kTile;
  parallel_ranges(threads, across * down, 1, rows * columns, [&](int, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t c = i % across * kTile, r = i / across * kTile;
      transpose_tile(from + 2 * (r * gap + c), 2 * gap, std::min(kTile, rows - r), std::min(kTile, columns - c),
                     to + 2 * (c * rows + r), 2 * rows);
    }
  });
}

}  // namespace weft::cpu
