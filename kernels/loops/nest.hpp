// Loop nests over laid-out tensors: one linear order of the elements of an iteration space, and how every operand is
// walked in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weft/layout.hpp"

namespace weft::loops {

/// Which dimension of the iteration space each dimension of a value follows; -1: none (its extent is 1).
using DimMap = std::vector<int>;

/// One loop: dimension `dimension` of the iteration space in steps of `weight` indices.
struct Loop {
  int dimension = 0;
  std::int64_t extent = 1;
  std::int64_t weight = 1;
  int block = -1;  ///< index into the layout's blocks, -1 for the outer loop of a dimension
};

/// The loops that walk `layout`'s memory in order, outermost first. Padded extents are walked whole.
std::vector<Loop> loops_of(const Layout& layout);

/// The layout of `other`'s order of dimensions and blocks, for `shape` of the same rank, without gaps.
Layout same_order(const Layout& other, const Shape& shape);

/// Strides in elements, one a loop, of a value with `layout` whose dimensions follow `map`. nullopt when its blocks do
/// not match the loops.
std::optional<Dims> strides_in(const std::vector<Loop>& loops, const Layout& layout, const DimMap& map);

/// Strides that count the index along `dimension`.
Dims index_strides(const std::vector<Loop>& loops, int dimension);

/// A nest after collapsing: extents, and strides by operand.
struct Nest {
  Dims extents;
  std::vector<Dims> strides;  ///< [operand][loop]
  std::vector<bool> kept;     ///< by loop, for reductions; collapsing never mixes kept and reduced loops

  std::int64_t elements() const;
  /// Drops loops of extent 1 and merges neighbours that every operand walks as one.
  void collapse();
};

}  // namespace weft::loops
