// How the work of a rows kernel is cut: vector lanes, blocks of columns, chunks of rows, and what is shared among
// threads. Depends on extents, on what is computed, and on the schedule, whose choices change no sum's order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/loops/rows.hpp"
#include "kernels/loops/rows_nest.hpp"

namespace weft::loops {

/// Columns that are handled alike: `blocks` blocks of `width` columns from `first` on.
struct ColumnPiece {
  std::int64_t first = 0, width = 1, blocks = 1;
};

/// The reduced loops cut into chunks: loops before `loop` whole, `loop` into `count` runs of `length`.
struct Chunks {
  std::size_t loop = 0;
  std::int64_t length = 1, count = 1;
  std::int64_t total = 1;  ///< chunks in all, the loops before included; 1: not cut
};

struct RowsCuts {
  int lanes = 16;
  std::vector<ColumnPiece> pieces;
  std::size_t shared = 0;  ///< outer loops that the parallel index covers
  Chunks chunks;
  /// Rows of a tile, where a chunk is walked tile by tile and every tile block of columns by block; 0: it is not.
  std::int64_t tile = 0;
  bool one_walk = false;  ///< full results are written while the rows are reduced
  std::string refusal;
};

RowsCuts cut_rows(const Space& space, const RowsNest& nest, const RowsSchedule& schedule);

}  // namespace weft::loops
