// Walks: how one operand of a loop nest is read in runs of consecutive elements.
#pragma once

#include <cstdint>

#include "kernels/loops/nest.hpp"

namespace weft::cpu {

using loops::DimMap;
using loops::index_strides;
using loops::Loop;
using loops::loops_of;
using loops::Nest;
using loops::same_order;
using loops::strides_in;

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
