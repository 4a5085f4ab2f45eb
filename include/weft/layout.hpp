// Layouts: where each logical element of a tensor lies in memory.
//
// A layout has one outer stride per dimension and an ordered list of inner blocks. The offset of a logical index is
//
//     sum over d of (index[d] / blocks_of(d)) * stride[d]   +   the offset inside the innermost dense block,
//
// where blocks_of(d) is the product of d's block sizes and the inner blocks are dense, the last one fastest. A
// dimension that is not a multiple of its blocks is padded up; the padding holds zeros, and whoever writes the tensor
// keeps it so. This is the blocked descriptor of oneDNN, so a layout converts to a memory descriptor and back without
// loss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/shape.hpp"

namespace weft {

struct Layout {
  struct Block {
    int dimension = 0;
    std::int64_t size = 1;
    bool operator==(const Block&) const = default;
  };

  Shape shape;                ///< logical extents
  Dims strides;               ///< in elements, one per dimension, of that dimension's outer index
  std::vector<Block> blocks;  ///< outermost first

  bool operator==(const Layout&) const = default;

  /// Row-major.
  static Layout dense(const Shape& shape);
  /// Dense, dimensions laid out in the order given, outermost first ({0, 2, 3, 1} is channels-last of NCHW).
  static Layout permuted(const Shape& shape, const Dims& order);
  /// Outer dimensions row-major around inner blocks ({{1, 16}} of NCHW is nChw16c).
  static Layout blocked(const Shape& shape, std::vector<Block> blocks);

  bool is_row_major() const;                   ///< dense, no blocks, no padding
  std::int64_t block_of(int dimension) const;  ///< product of this dimension's block sizes
  std::int64_t padded(int dimension) const;    ///< extent rounded up to whole blocks
  bool has_padding() const;                    ///< some dimension is padded
  std::int64_t storage_elements() const;       ///< elements from the first to the last, padding included
  std::int64_t bytes(DType type) const { return storage_elements() * static_cast<std::int64_t>(size_of(type)); }
  std::int64_t offset(const Dims& index) const;  ///< in elements

  /// Every logical element lies at the same offset in both, and both need as much storage: strides of extents of 1 and
  /// blocks that merge into plain strides do not matter.
  bool same_placement(const Layout& other) const;

  /// "[32, 64, 56, 56]:row" or "[32, 64, 56, 56]:s(200704,3136,56,1)b(1x16)"; `parse` reads it back.
  std::string str() const;
  static Layout parse(std::string_view text);
};

}  // namespace weft
