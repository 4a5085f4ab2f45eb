// Copies of a product's 16-bit operands in the order in which the library's kernels read them.
//
// What a library packs for itself it packs block by block, again for every block of the result; one copy beforehand is
// cheaper where each element is multiplied often. The library's own reorders take their general loops where an extent
// is no multiple of a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weft/layout.hpp"

namespace weft::cpu {

/// A plain matrix: rows of neighbouring elements, `gap` from one to the next; or columns, when not `by_rows`.
struct PlainMatrix {
  std::int64_t rows = 0, columns = 0, gap = 0;
  bool by_rows = true;
};

/// Blocks of 16 pairs of rows by `width` columns: the two of a pair next to each other, pairs of one row of a block
/// side by side. Padding is zero.
struct BlockedMatrix {
  std::int64_t width = 64;
  std::int64_t row_step = 0, column_step = 0;  ///< elements from a block to the one below, and to the one beside
};

/// The blocks of a layout [rows, columns]; nullopt where it has others.
std::optional<BlockedMatrix> blocked_matrix(const Layout& layout);

/// On the team; whatever the number of threads, the same bytes.
void pack_blocks(const std::byte* from, const PlainMatrix& plain, std::byte* to, const BlockedMatrix& blocks,
                 int threads);

/// `to` holds `plain.rows` numbers for each of `plain.columns`, without gaps. `plain` is by rows.
void transpose_matrix(const std::byte* from, const PlainMatrix& plain, std::byte* to, int threads);

}  // namespace weft::cpu
