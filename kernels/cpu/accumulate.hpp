// Accumulators of reductions: one kind of reduction of tiles in one compute type.
//
// Floats accumulate in f64, integers in 64 bits. An accumulator of one kept element is `words` 8-byte words.
#pragma once

#include <cstdint>

#include "kernels/cpu/tile_ops.hpp"
#include "weft/dtype.hpp"

namespace weft::cpu {

enum class ReductionKind : std::uint8_t { sum, max, min, prod, moments };

class Accumulator {
 public:
  Accumulator(ReductionKind kind, DType type, const TileOps& ops);

  /// Words of the accumulators of `columns` kept elements. Moments: shift, sum and squares, column by column each.
  std::int64_t words(std::int64_t columns) const { return (kind_ == ReductionKind::moments ? 3 : 1) * columns; }

  /// The state before any element. `first` is the first element of every column (moments shift by it).
  void clear(std::uint64_t* state, std::int64_t columns, const void* first) const;
  /// Adds a row-major [rows, columns] tile; columns == 1: a run of `rows` elements.
  void add(std::uint64_t* state, const void* tile, std::int64_t rows, std::int64_t columns) const;
  /// Joins another state of the same columns (with the same shift) to this one.
  void join(std::uint64_t* state, const std::uint64_t* other, std::int64_t columns) const;
  /// Stores the result of column `column` over `count` elements as element `index` of `to` (result type: `type`), and
  /// of `variance` for moments.
  void finish(const std::uint64_t* state, std::int64_t columns, std::int64_t column, std::int64_t count, DType type,
              std::byte* to, std::byte* variance, std::int64_t index) const;

 private:
  ReductionKind kind_;
  DType type_;  ///< compute type
  const TileOps* ops_;
};

}  // namespace weft::cpu
