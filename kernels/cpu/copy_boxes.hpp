// Running copy boxes: contiguous runs, fills, tiled transposes, and strided copies, cut evenly over the team.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/copy_plan.hpp"

namespace weft::cpu {

class BoxCopier {
 public:
  /// The boxes must not overlap where they write. `size`: bytes of an element, 1, 2, 4 or 8.
  BoxCopier(std::vector<CopyBox> boxes, std::size_t size, int threads);

  /// Sources are numbered as the boxes number them.
  void run(std::span<const std::byte* const> sources, std::byte* to) const;

 private:
  /// A box cut into chunks: tiles of its two innermost loops under an odometer of the others.
  struct Prepared {
    int source = 0;
    std::int64_t from = 0, to = 0;
    std::vector<CopyLoop> outer;  ///< the last two count tiles
    CopyLoop rows, columns;       ///< extents: of the whole box; columns are written with the smallest stride
    std::int64_t tile_rows = 1, tile_columns = 1;
    std::int64_t first = 0, elements = 0, chunks = 0, chunk_elements = 1;  ///< `first`: elements of earlier boxes
  };
  static Prepared prepare(const CopyBox& box);

  template <class T>
  void copy(std::span<const std::byte* const> sources, T* to, std::int64_t begin, std::int64_t end) const;
  template <class T>
  static void copy_chunks(const Prepared& box, const T* from, T* to, std::int64_t begin, std::int64_t end);

  std::vector<Prepared> boxes_;
  std::size_t size_;
  int threads_;
  std::int64_t elements_ = 0;
};

}  // namespace weft::cpu
