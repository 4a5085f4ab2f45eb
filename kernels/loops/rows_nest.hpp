// The loops of a rows kernel: which are shared, reduced and vector loops, and how operands and results are walked.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/loops/body.hpp"
#include "kernels/loops/layouts.hpp"

namespace weft::loops {

/// Strides in elements along each loop of something that is walked.
struct Stream {
  Dims outer, reduced;
  std::int64_t column = 0;
};

struct RowsNest {
  Dims outer;                ///< extents of the kept loops
  Dims reduced;              ///< extents of the reduced loops; in rows mode the last is the vector loop
  std::int64_t columns = 1;  ///< extent of the innermost kept loop
  bool column_mode = true;

  std::vector<Stream> operands, outputs, iotas;  ///< as the space lists them
  /// Of each padded dimension: how its index is counted, and how many of its indices are inside.
  struct Padded {
    Stream index;
    std::int64_t extent = 0;
  };
  std::vector<Padded> padded;

  std::int64_t reduced_elements() const;
  std::int64_t outer_elements() const;
  std::int64_t elements() const { return outer_elements() * reduced_elements() * columns; }
};

RowsNest rows_nest(const Space& space, const SpaceLayouts& layouts);

}  // namespace weft::loops
