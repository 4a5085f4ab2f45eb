// Names and sizes of element types; binary16 and bfloat16 conversion.
#include "weft/dtype.hpp"

#include <array>
#include <cmath>

namespace weft {
namespace {

struct TypeInfo {
  std::string_view name;
  std::size_t size;
};

constexpr std::array<TypeInfo, kDTypeCount> kTypes = {{{"f64", 8},
                                                       {"f32", 4},
                                                       {"f16", 2},
                                                       {"bf16", 2},
                                                       {"i64", 8},
                                                       {"i32", 4},
                                                       {"i16", 2},
                                                       {"i8", 1},
                                                       {"u64", 8},
                                                       {"u32", 4},
                                                       {"u16", 2},
                                                       {"u8", 1},
                                                       {"bool", 1}}};

const TypeInfo& info(DType type) { return kTypes[static_cast<std::size_t>(type)]; }

/// Round-to-nearest-even of the bits of `x` to binary16.
std::uint16_t half_bits(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);   // NaN
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to infinity
  if (magnitude < 0x38800000u) {
    // Subnormal result: let the f32 adder round at the right bit.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign |
                                      (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(0.5f)));
  }
  const std::uint32_t odd = (magnitude >> 13) & 1u;
  return static_cast<std::uint16_t>(sign | ((magnitude + 0xc8000fffu + odd) >> 13));
}

}  // namespace

std::size_t size_of(DType type) { return info(type).size; }
std::string_view name_of(DType type) { return info(type).name; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (int i = 0; i < kDTypeCount; ++i)
    if (kTypes[static_cast<std::size_t>(i)].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

bool is_float(DType type) {
  return type == DType::f64 || type == DType::f32 || type == DType::f16 || type == DType::bf16;
}
bool is_signed_integer(DType type) { return type >= DType::i64 && type <= DType::i8; }
bool is_integer(DType type) { return type >= DType::i64 && type <= DType::u8; }

Half::Half(float value) : bits(half_bits(value)) {}

Half::operator float() const {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t fraction = bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(fraction), -24);
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
}

BFloat16::BFloat16(float value) {
  const std::uint32_t raw = std::bit_cast<std::uint32_t>(value);
  if ((raw & 0x7fffffffu) > 0x7f800000u)
    bits = static_cast<std::uint16_t>((raw >> 16) | 0x40u);
  else
    bits = static_cast<std::uint16_t>((raw + 0x7fffu + ((raw >> 16) & 1u)) >> 16);
}

}  // namespace weft
