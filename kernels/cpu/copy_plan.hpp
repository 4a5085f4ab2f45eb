// Copies as boxes: every data movement between two layouts is a list of strided rectangles.
//
// The offset of an element is a sum of one term a dimension, blocks included, so a movement is decided dimension by
// dimension: along each, which index is read for which index that is written. Where both terms advance by constant
// steps, possibly in nested runs (blocks), the dimension is a nest of loops; where they do not (the last, partial
// block), it is several. The product over the dimensions gives the boxes.
#pragma once

#include <cstdint>
#include <vector>

#include "weft/layout.hpp"

namespace weft::cpu {

/// The part of an offset that some neighbouring dimensions of a layout give, as a function of their row-major index.
/// A single dimension may be indexed into its padding. The default gives 0 for every index.
class AxisOffsets {
 public:
  AxisOffsets() = default;
  AxisOffsets(const Layout& layout, int first, int last);  ///< dimensions [first, last)
  std::int64_t operator()(std::int64_t index) const;

 private:
  struct Digit {
    std::int64_t size, stride;
  };
  struct Dimension {
    std::int64_t extent = 0;    ///< 0: whatever is left, for the outermost
    std::vector<Digit> blocks;  ///< innermost first
    std::int64_t stride = 0;    ///< of whole blocks
  };
  std::vector<Dimension> dimensions_;  ///< innermost first
};

/// `count` elements along one dimension: the k-th is read at index from_start + k * from_step and written at
/// to_start + k * to_step.
struct AxisRange {
  std::int64_t count = 0;
  std::int64_t from_start = 0, from_step = 1, to_start = 0, to_step = 1;
};

/// One dimension of a movement.
struct CopyAxis {
  AxisOffsets from, to;
  std::vector<AxisRange> ranges;
};

struct CopyLoop {
  std::int64_t extent = 1, from = 0, to = 0;  ///< strides in elements
};

/// A strided rectangle of one source.
struct CopyBox {
  int source = 0;
  std::int64_t from = 0, to = 0;  ///< offsets of the first element
  std::vector<CopyLoop> loops;    ///< outermost first
  std::int64_t elements() const;
};

/// Appends the boxes of the product of `axes`. Returns false, appending nothing, when there would be more than `most`.
bool append_boxes(const std::vector<CopyAxis>& axes, int source, std::size_t most, std::vector<CopyBox>& boxes);

}  // namespace weft::cpu
