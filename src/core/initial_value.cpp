// Values that are read when they are asked for.
#include "weft/initial_value.hpp"

#include <cstring>
#include <utility>

#include "weft/error.hpp"

namespace weft {

InitialValue::InitialValue(Tensor value)
    : dtype_(value.dtype()), shape_(value.shape()), held_(std::make_shared<const Tensor>(std::move(value))) {}

InitialValue::InitialValue(DType type, Shape shape, Reader reader)
    : dtype_(type), shape_(std::move(shape)), reader_(std::make_shared<const Reader>(std::move(reader))) {}

InitialValue InitialValue::zeros(DType type, Shape shape) {
  InitialValue value;
  value.dtype_ = type;
  value.shape_ = std::move(shape);
  return value;
}

void InitialValue::read(std::span<std::byte> to) const {
  check_internal(to.size() == bytes(), "an initial value is read into memory of another size");
  read(0, to);
}

void InitialValue::read(std::int64_t offset, std::span<std::byte> to) const {
  check_internal(offset >= 0 && static_cast<std::size_t>(offset) <= bytes() &&
                     to.size() <= bytes() - static_cast<std::size_t>(offset),
                 "an initial value is read beyond its end");
  if (to.empty()) return;
  if (reader_)
    (*reader_)(offset, to);
  else if (held_)
    std::memcpy(to.data(), held_->data() + offset, to.size());
  else
    std::memset(to.data(), 0, to.size());
}

Tensor InitialValue::value() const {
  if (held_) return *held_;
  Tensor tensor(dtype_, shape_);
  if (reader_) read({tensor.mutable_data(), tensor.bytes()});
  return tensor;
}

}  // namespace weft
