// Gather and scatter, seen alike: a tensor is an array of slots, runs of consecutive elements that are read or written
// whole, and indices name one slot for each run of the other operand.
#pragma once

#include <cstddef>
#include <cstdint>

#include "weft/graph.hpp"

namespace weft::cpu::reference {

class Slots {
 public:
  /// gather, scatter_add: slices along `axis` of a tensor of shape `x`.
  static Slots along_axis(const Shape& x, int axis, const TensorType& indices);
  /// gather_nd, scatter_nd: the last dimension of indices is a tuple.
  static Slots by_tuples(const Shape& x, int batch_dims, const TensorType& indices);
  /// gather_elements, scatter_elements: an element each, its place along `axis` given.
  static Slots by_elements(const Shape& x, int axis, const TensorType& indices);

  std::int64_t runs() const { return runs_; }    ///< runs that indices name
  std::int64_t run() const { return run_; }      ///< elements of a run
  std::int64_t slots() const { return slots_; }  ///< runs of the indexed tensor

  /// The slots of runs [begin, end), -1 where an index is outside its range.
  void find(const std::byte* indices, std::int64_t begin, std::int64_t end, std::int64_t* to) const;

 private:
  enum class Kind : std::uint8_t { axis, tuples, elements };

  template <class Index>
  void find_as(const Index* indices, std::int64_t begin, std::int64_t end, std::int64_t* to) const;
  template <class Index>
  void find_elements(const Index* indices, std::int64_t begin, std::int64_t end, std::int64_t* to) const;

  Kind kind_ = Kind::axis;
  DType index_type_ = DType::i64;
  std::int64_t runs_ = 0, run_ = 1, slots_ = 0;
  std::int64_t period_ = 1;             ///< runs after which the same indices (axis) or the next batch (tuples) follow
  std::int64_t pitch_ = 0;              ///< slots that one period advances
  Dims extents_, strides_;              ///< what an index is within, and counts, along each dimension that indices name
  Dims index_extents_, index_strides_;  ///< elements: the indices' extents, and slots that each of them counts
};

}  // namespace weft::cpu::reference
