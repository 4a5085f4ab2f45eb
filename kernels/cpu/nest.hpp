// Loop nests over laid-out tensors: one linear order of the elements of an iteration space, and how every operand is
// walked in it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weft/layout.hpp"

namespace weft::cpu {

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

/// How one operand is read in runs: consecutive elements of the linear order.
class Walk {
 public:
  Walk() = default;
  Walk(const Nest& nest, std::size_t operand);

  /// Offset of linear position `at`.
  std::int64_t offset(std::int64_t at) const;
  /// True when positions [at, at + count) lie at consecutive offsets.
  bool contiguous(std::int64_t at, std::int64_t count) const { return run_ > 0 && at % run_ + count <= run_; }
  bool uniform() const { return uniform_; }  ///< the same element everywhere
  /// Elements of one repetition: positions [at, at + count) and [at', at' + count) read the same elements in the same
  /// order whenever `phase` gives them equal keys (not -1).
  std::int64_t phase(std::int64_t at, std::int64_t count) const;

  /// Copies positions [at, at + count) of `from` to consecutive elements.
  void load(const std::byte* from, std::size_t size, std::int64_t at, std::int64_t count, std::byte* to) const;
  /// The reverse.
  void store(const std::byte* from, std::size_t size, std::int64_t at, std::int64_t count, std::byte* to) const;
  /// Writes the offsets themselves (iota), as i64.
  void offsets(std::int64_t at, std::int64_t count, std::int64_t* to) const;

 private:
  template <class Visit>
  void each_run(std::int64_t at, std::int64_t count, Visit visit) const;

  Dims extents_, strides_;
  std::int64_t run_ = 0;  ///< length of the innermost runs with stride 1; 0 when the innermost stride is not 1
  bool uniform_ = true;
  std::int64_t period_ = 0;  ///< elements of the innermost loop, when the next one repeats it (stride 0); else 0
  std::int64_t repeat_ = 0;  ///< elements over which it repeats
};

}  // namespace weft::cpu
