// Values made from nothing: indices and random bits.
#include "graph/ir/interpreter/evaluate.hpp"
#include "graph/ir/interpreter/wide.hpp"
#include "weft/philox.hpp"

namespace weft::interpreter {

Tensor evaluate_iota(const Node& node) {
  const Shape shape(node.attributes.integers("shape"));
  const auto axis = static_cast<std::size_t>(node.attributes.integer("axis"));
  Dims strides(shape.extents().size(), 0);
  strides[axis] = 1;
  std::vector<std::int64_t> values(static_cast<std::size_t>(shape.elements()));
  Odometer at(shape.extents(), strides, 0);
  for (std::int64_t& v : values) {
    v = at.offset();
    at.next();
  }
  return narrow(node.attributes.dtype("dtype"), shape, values);
}

Tensor evaluate_random_bits(const Node& node, Operands operands) {
  const Shape shape(node.attributes.integers("shape"));
  const std::int64_t sample_dim = node.attributes.integer("sample_dim");
  const auto seed = static_cast<std::uint64_t>(operands[0].as_int(0));
  const auto step = static_cast<std::uint32_t>(operands[1].as_int(0));
  const auto offset = static_cast<std::uint64_t>(operands[2].as_int(0));
  const auto id = static_cast<std::uint32_t>(node.attributes.integer("id"));
  const std::array<std::uint32_t, 2> key = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  const bool part = operands.size() == 4;
  const Shape whole = part ? Shape(node.attributes.integers("whole")) : shape;
  // Strides of j: row-major over all dimensions but sample_dim.
  Dims strides(shape.extents().size(), 0);
  std::int64_t stride = 1, first = 0;
  for (int d = shape.rank() - 1; d >= 0; --d)
    if (d != sample_dim) {
      strides[static_cast<std::size_t>(d)] = stride;
      if (part) first += stride * operands[3].as_int(d);
      stride *= whole[d];
    }
  Tensor result(DType::u32, shape);
  Odometer at(shape.extents(), strides, first);
  for (std::uint32_t& word : result.mutable_values<std::uint32_t>()) {
    const auto j = static_cast<std::uint64_t>(at.offset());
    const std::uint64_t sample =
        offset + static_cast<std::uint64_t>(sample_dim < 0 ? 0 : at.index()[static_cast<std::size_t>(sample_dim)]);
    word = philox4x32({static_cast<std::uint32_t>(j / 4), static_cast<std::uint32_t>(sample), step, id}, key)[j % 4];
    at.next();
  }
  return result;
}

}  // namespace weft::interpreter
