// ONNX's element types of eight bits and fewer that nothing here computes with: 8-bit and 4-bit floats, integers of 4
// and 2 bits.
//
// Import holds their values in wider types (floats in f32, integers in i8 and u8), which lose nothing, and rounds where
// the model casts or quantises to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "graph/ir/builder.hpp"

namespace weft::onnx {

struct NarrowType {
  std::int32_t onnx = 0;
  int bits = 8;
  bool real = true;
  bool negative = true;  ///< a sign bit; two's complement for integers
  // Floats.
  int mantissa = 0;         ///< stored bits of it
  int lowest_exponent = 0;  ///< of normal numbers
  double largest = 0;
  enum class Special : std::uint8_t { none, ieee, all_ones, minus_zero } special = Special::none;  ///< codes of NaN

  DType carrier() const { return real ? DType::f32 : negative ? DType::i8 : DType::u8; }
  std::int64_t stored_bytes(std::int64_t elements) const { return (elements * bits + 7) / 8; }
};

/// nullptr for types that are not narrow.
const NarrowType* narrow_type(std::int32_t data_type);

/// The type that holds values of an ONNX type: dtype_of_onnx, or the carrier of a narrow one.
DType carrier_of(std::int32_t data_type, const std::string& where);

/// Values from their packed codes, the first in the lowest bits of a byte; there are enough of them.
Tensor decoded(const NarrowType& type, Shape shape, std::span<const std::byte> packed);

/// x rounded to what the type can hold: floats to nearest, ties to even, and beyond its range to the largest number
/// (`saturate`) or to infinity or NaN; integers truncate and keep the low bits, as ONNX's Cast does.
ValueId narrowed(GraphBuilder& b, ValueId x, const NarrowType& type, bool saturate);

/// x rounded to an integer type's range, as quantisation does. x holds whole numbers.
ValueId clamped_to(GraphBuilder& b, ValueId x, const NarrowType& type);

}  // namespace weft::onnx
