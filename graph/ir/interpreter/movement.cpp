// Movement of elements: no arithmetic, any element type.
#include <algorithm>
#include <cstring>

#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/interpreter/wide.hpp"

namespace weft::interpreter {
namespace {

Tensor transpose(const Tensor& x, const Shape& shape, const Dims& order) {
  const Dims from = x.shape().row_major_strides();
  Dims strides;
  for (const std::int64_t d : order) strides.push_back(from[static_cast<std::size_t>(d)]);
  return strided_read(x, shape, 0, strides);
}

Tensor broadcast(const Tensor& x, const Shape& shape, const Dims& dims) {
  const Dims from = x.shape().row_major_strides();
  Dims strides(static_cast<std::size_t>(shape.rank()), 0);
  for (std::size_t d = 0; d < dims.size(); ++d)
    if (x.shape()[static_cast<int>(d)] != 1) strides[static_cast<std::size_t>(dims[d])] = from[d];
  return strided_read(x, shape, 0, strides);
}

Tensor slice(const Tensor& x, const Shape& shape, const Attributes& attributes) {
  Dims strides = x.shape().row_major_strides();
  std::int64_t base = 0;
  for (std::size_t d = 0; d < strides.size(); ++d) {
    base += attributes.integers("start")[d] * strides[d];
    strides[d] *= attributes.integers("stride")[d];
  }
  return strided_read(x, shape, base, strides);
}

Tensor reverse(const Tensor& x, const Dims& dims) {
  Dims strides = x.shape().row_major_strides();
  std::int64_t base = 0;
  for (const std::int64_t d : dims) {
    const auto i = static_cast<std::size_t>(d);
    base += (x.shape()[static_cast<int>(d)] - 1) * strides[i];
    strides[i] = -strides[i];
  }
  return strided_read(x, x.shape(), base, strides);
}

Tensor pad(const Tensor& x, const Tensor& value, const Shape& shape, const Attributes& attributes) {
  Tensor result = strided_read(value, shape, 0, Dims(static_cast<std::size_t>(shape.rank()), 0));
  const Dims &low = attributes.integers("low"), &interior = attributes.integers("interior");
  const Dims to = shape.row_major_strides();
  const std::size_t size = size_of(x.dtype());
  std::byte* target = result.mutable_data();
  Odometer from(x.shape().extents(), x.shape().row_major_strides(), 0);
  for (std::int64_t i = 0; i < x.elements(); ++i, from.next()) {
    std::int64_t offset = 0;
    bool inside = true;
    for (std::size_t d = 0; d < to.size(); ++d) {
      const std::int64_t position = low[d] + from.index()[d] * (interior[d] + 1);
      inside = inside && position >= 0 && position < shape[static_cast<int>(d)];
      offset += position * to[d];
    }
    if (inside)
      std::memcpy(target + static_cast<std::size_t>(offset) * size, x.data() + static_cast<std::size_t>(i) * size,
                  size);
  }
  return result;
}

Tensor concat(Operands operands, const TensorType& type, int axis) {
  Tensor result(type.dtype, type.shape);
  std::size_t outer = 1, row = size_of(type.dtype);
  for (int d = 0; d < axis; ++d) outer *= static_cast<std::size_t>(type.shape[d]);
  for (int d = axis + 1; d < type.shape.rank(); ++d) row *= static_cast<std::size_t>(type.shape[d]);
  const std::size_t pitch = row * static_cast<std::size_t>(type.shape[axis]);
  std::byte* to = result.mutable_data();
  for (const Tensor& x : operands) {
    const std::size_t bytes = row * static_cast<std::size_t>(x.shape()[axis]);
    for (std::size_t o = 0; o < outer; ++o) std::memcpy(to + o * pitch, x.data() + o * bytes, bytes);
    to += bytes;
  }
  return result;
}

template <class T>
void copy_strided(const Tensor& x, Tensor& result, Odometer at) {
  const T* from = reinterpret_cast<const T*>(x.data());
  T* to = reinterpret_cast<T*>(result.mutable_data());
  for (std::int64_t i = 0; i < result.elements(); ++i, at.next()) to[i] = from[at.offset()];
}

}  // namespace

Tensor strided_read(const Tensor& x, const Shape& shape, std::int64_t base, const Dims& strides) {
  Tensor result(x.dtype(), shape);
  const Odometer at(shape.extents(), strides, base);
  switch (size_of(x.dtype())) {
    case 1: copy_strided<std::uint8_t>(x, result, at); break;
    case 2: copy_strided<std::uint16_t>(x, result, at); break;
    case 4: copy_strided<std::uint32_t>(x, result, at); break;
    default: copy_strided<std::uint64_t>(x, result, at); break;
  }
  return result;
}

Tensor evaluate_movement(const Node& node, const TensorType& result, Operands operands) {
  const Attributes& a = node.attributes;
  switch (node.op) {
    case Op::after: return operands[0];
    case Op::reshape: return operands[0].reshaped(result.shape);
    case Op::transpose: return transpose(operands[0], result.shape, a.integers("order"));
    case Op::broadcast: return broadcast(operands[0], result.shape, a.integers("dims"));
    case Op::slice: return slice(operands[0], result.shape, a);
    case Op::pad: return pad(operands[0], operands[1], result.shape, a);
    case Op::concat: return concat(operands, result, static_cast<int>(a.integer("axis")));
    case Op::reverse: return reverse(operands[0], a.integers("dims"));
    default: throw InternalError("interpreter: not a movement: " + std::string(name_of(node.op)));
  }
}

}  // namespace weft::interpreter
