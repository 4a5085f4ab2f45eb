// Element types of tensors, and the two 16-bit floating-point storage types.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace weft {

enum class DType : std::uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };
inline constexpr int kDTypeCount = 13;

/// Bytes of one element.
std::size_t size_of(DType type);
/// "f32", "bf16", "i64", "bool", …
std::string_view name_of(DType type);
std::optional<DType> dtype_from_name(std::string_view name);
bool is_float(DType type);
bool is_signed_integer(DType type);
bool is_integer(DType type);  ///< signed or unsigned, not bool

/// IEEE 754 binary16, stored only: arithmetic happens in f32.
struct Half {
  std::uint16_t bits = 0;
  Half() = default;
  explicit Half(float value);  ///< rounds to nearest, ties to even
  explicit operator float() const;
  bool operator==(const Half&) const = default;
};

/// The upper half of an IEEE 754 binary32, stored only: arithmetic happens in f32.
struct BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value);  ///< rounds to nearest, ties to even; NaN stays NaN
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
  bool operator==(const BFloat16&) const = default;
};

template <class T>
struct TypeTag {
  using type = T;
};

/// The C++ type that stores a DType is handed to `visitor` as a TypeTag; bool is stored as one byte, 0 or 1.
template <class Visitor>
decltype(auto) visit_dtype(DType type, Visitor&& visitor) {
  switch (type) {
    case DType::f64: return visitor(TypeTag<double>{});
    case DType::f32: return visitor(TypeTag<float>{});
    case DType::f16: return visitor(TypeTag<Half>{});
    case DType::bf16: return visitor(TypeTag<BFloat16>{});
    case DType::i64: return visitor(TypeTag<std::int64_t>{});
    case DType::i32: return visitor(TypeTag<std::int32_t>{});
    case DType::i16: return visitor(TypeTag<std::int16_t>{});
    case DType::i8: return visitor(TypeTag<std::int8_t>{});
    case DType::u64: return visitor(TypeTag<std::uint64_t>{});
    case DType::u32: return visitor(TypeTag<std::uint32_t>{});
    case DType::u16: return visitor(TypeTag<std::uint16_t>{});
    case DType::u8: return visitor(TypeTag<std::uint8_t>{});
    case DType::boolean: break;
  }
  return visitor(TypeTag<bool>{});
}

/// The DType that stores C++ type `T`.
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, double>)
    return DType::f64;
  else if constexpr (std::is_same_v<T, float>)
    return DType::f32;
  else if constexpr (std::is_same_v<T, Half>)
    return DType::f16;
  else if constexpr (std::is_same_v<T, BFloat16>)
    return DType::bf16;
  else if constexpr (std::is_same_v<T, bool>)
    return DType::boolean;
  else {
    static_assert(std::is_integral_v<T> && sizeof(T) <= 8);
    if constexpr (std::is_signed_v<T>)
      return sizeof(T) == 8 ? DType::i64 : sizeof(T) == 4 ? DType::i32 : sizeof(T) == 2 ? DType::i16 : DType::i8;
    else
      return sizeof(T) == 8 ? DType::u64 : sizeof(T) == 4 ? DType::u32 : sizeof(T) == 2 ? DType::u16 : DType::u8;
  }
}

static_assert(sizeof(bool) == 1);

}  // namespace weft
