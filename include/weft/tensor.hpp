// Tensor: a row-major array in host memory with value semantics (copies share storage until one is written).
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/error.hpp"
#include "weft/shape.hpp"

namespace weft {

class Tensor {
 public:
  /// Scalar f32 zero.
  Tensor() : Tensor(DType::f32, Shape{}) {}
  /// Zero-filled; storage is aligned to 64 bytes.
  Tensor(DType type, Shape shape);

  template <class T>
  static Tensor from(Shape shape, std::span<const T> values) {
    Tensor t(dtype_of<T>(), std::move(shape));
    check_internal(static_cast<std::int64_t>(values.size()) == t.elements(),
                   "Tensor::from: value count and shape differ");
    std::copy(values.begin(), values.end(), t.mutable_values<T>().begin());
    return t;
  }
  template <class T>
  static Tensor from(Shape shape, std::initializer_list<T> values) {
    return from<T>(std::move(shape), std::span<const T>(values.begin(), values.size()));
  }
  template <class T>
  static Tensor scalar(T value) {
    return from<T>(Shape{}, std::span<const T>(&value, 1));
  }
  /// One element repeated; `value` is converted to `type`.
  static Tensor full(DType type, Shape shape, double value);

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  std::int64_t elements() const { return shape_.elements(); }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype_); }

  const std::byte* data() const { return storage_.get(); }
  /// Unshares the storage first.
  std::byte* mutable_data();

  /// Throws InternalError when `T` does not store this tensor's type.
  template <class T>
  std::span<const T> values() const {
    check_type(dtype_of<T>());
    return {reinterpret_cast<const T*>(data()), static_cast<std::size_t>(elements())};
  }
  template <class T>
  std::span<T> mutable_values() {
    check_type(dtype_of<T>());
    return {reinterpret_cast<T*>(mutable_data()), static_cast<std::size_t>(elements())};
  }

  /// Element `i` in row-major order, converted.
  double as_double(std::int64_t i) const;
  std::int64_t as_int(std::int64_t i) const;

  /// The same elements under another shape with as many of them.
  Tensor reshaped(Shape shape) const;
  /// Element-wise conversion: float to integer truncates towards zero and saturates (NaN gives 0); to bool is `!= 0`.
  Tensor cast(DType type) const;
  /// Same type, shape and bits.
  bool identical(const Tensor& other) const;

 private:
  void check_type(DType type) const;

  DType dtype_;
  Shape shape_;
  std::shared_ptr<std::byte> storage_;
};

}  // namespace weft
