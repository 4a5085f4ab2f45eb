// InitialValue: what a state begins with, without holding it: zeros, or what is read from a file when it is asked for.
//
// A model's parameters are as large as its file. They lie in memory once, in the states; on the way there only their
// types travel, and whoever wants the numbers reads them.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "weft/dtype.hpp"
#include "weft/shape.hpp"
#include "weft/tensor.hpp"

namespace weft {

class InitialValue {
 public:
  /// Writes the bytes of the value from `offset` on, row-major, as many as `to` takes. Called once for each `read`,
  /// from any thread; throws as its source does.
  using Reader = std::function<void(std::int64_t offset, std::span<std::byte> to)>;

  /// Scalar f32 zero.
  InitialValue() = default;
  /// Holds a tensor.
  InitialValue(Tensor value);
  InitialValue(DType type, Shape shape, Reader reader);
  static InitialValue zeros(DType type, Shape shape);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::size_t bytes() const { return static_cast<std::size_t>(shape_.elements()) * size_of(dtype_); }
  /// True says that all bytes are 0; false says nothing.
  bool is_zeros() const { return !held_ && !reader_; }

  /// `to` has bytes() bytes. Throws as its source does.
  void read(std::span<std::byte> to) const;
  /// A part of the bytes, which must lie within the value.
  void read(std::int64_t offset, std::span<std::byte> to) const;
  Tensor value() const;

 private:
  DType dtype_ = DType::f32;
  Shape shape_;
  std::shared_ptr<const Tensor> held_;
  std::shared_ptr<const Reader> reader_;
};

}  // namespace weft
