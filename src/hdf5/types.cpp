// Element types: the mapping between Weft's and HDF5's.
#include "src/hdf5/types.hpp"

#include <hdf5.h>

#include <array>
#include <bit>

#include "weft/error.hpp"

namespace weft::hdf5 {

static_assert(std::endian::native == std::endian::little, "files are read and written without swapping bytes");

namespace {

Id predefined(DType type) {
  switch (type) {
    case DType::f64: return H5T_IEEE_F64LE;
    case DType::f32: return H5T_IEEE_F32LE;
    case DType::i64: return H5T_STD_I64LE;
    case DType::i32: return H5T_STD_I32LE;
    case DType::i16: return H5T_STD_I16LE;
    case DType::i8: return H5T_STD_I8LE;
    case DType::u64: return H5T_STD_U64LE;
    case DType::u32: return H5T_STD_U32LE;
    case DType::u16: return H5T_STD_U16LE;
    case DType::u8: return H5T_STD_U8LE;
    case DType::f16:
    case DType::bf16:
    case DType::boolean: break;
  }
  return -1;
}

// A 16-bit float: sign, `exponent_bits`, and the mantissa below them.
Handle make_float16(std::size_t exponent_bits) {
  const std::size_t mantissa_bits = 15 - exponent_bits;
  Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  const bool made = type && H5Tset_fields(type.id(), 15, mantissa_bits, exponent_bits, 0, mantissa_bits) >= 0 &&
                    H5Tset_size(type.id(), 2) >= 0 && H5Tset_ebias(type.id(), (1U << (exponent_bits - 1)) - 1) >= 0;
  check_internal(made, "HDF5 refuses a 16-bit floating-point type");
  return type;
}

Handle make_bool() {
  Handle type(H5Tenum_create(H5T_STD_I8LE), H5Tclose);
  const std::int8_t no = 0;
  const std::int8_t yes = 1;
  const bool made =
      type && H5Tenum_insert(type.id(), "FALSE", &no) >= 0 && H5Tenum_insert(type.id(), "TRUE", &yes) >= 0;
  check_internal(made, "HDF5 refuses an enumeration");
  return type;
}

}  // namespace

Handle make_type(DType type) {
  const Lock lock;
  if (type == DType::f16) return make_float16(5);
  if (type == DType::bf16) return make_float16(8);
  if (type == DType::boolean) return make_bool();
  Handle copy(H5Tcopy(predefined(type)), H5Tclose);
  check_internal(static_cast<bool>(copy), "HDF5 refuses to copy a predefined type");
  return copy;
}

std::optional<StoredType> stored_type(Id type) {
  const Lock lock;
  const H5T_class_t kind = H5Tget_class(type);
  // Enumerations of two members over one byte are what h5py and Weft write for bool.
  if (kind == H5T_ENUM && H5Tget_size(type) == 1 && H5Tget_nmembers(type) == 2) return StoredType{DType::boolean, true};
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return std::nullopt;
  constexpr std::array kNumeric = {DType::u8,   DType::f32, DType::i64, DType::i32, DType::f64, DType::f16,
                                   DType::bf16, DType::i16, DType::i8,  DType::u64, DType::u32, DType::u16};
  for (const DType candidate : kNumeric) {
    const Handle little = make_type(candidate);
    if (H5Tequal(type, little.id()) > 0) return StoredType{candidate, true};
    if (size_of(candidate) > 1 && H5Tset_order(little.id(), H5T_ORDER_BE) >= 0 && H5Tequal(type, little.id()) > 0)
      return StoredType{candidate, false};
  }
  return std::nullopt;
}

const char* class_name(Id type) {
  const Lock lock;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER: return "an unusual integer";
    case H5T_FLOAT: return "an unusual floating-point type";
    case H5T_STRING: return "string";
    case H5T_COMPOUND: return "compound";
    case H5T_ENUM: return "enumeration";
    case H5T_VLEN: return "variable-length";
    case H5T_REFERENCE: return "reference";
    case H5T_ARRAY: return "array";
    default: return "an unknown type";
  }
}

}  // namespace weft::hdf5
