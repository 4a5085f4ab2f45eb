// NumPy's .npy arrays, versions 1 to 3, in C or Fortran order, as members of an archive.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>

#include "src/data/zip_archive.hpp"
#include "weft/dtype.hpp"
#include "weft/shape.hpp"
#include "weft/tensor.hpp"

namespace weft {

struct NpyHeader {
  DType dtype = DType::f32;
  bool big_endian = false;
  bool fortran = false;
  Dims extents;
};

/// Throws UserError where the member is no array of numbers or bool, or its shape does not fit its size.
NpyHeader read_npy_header(ZipArchive::Stream& stream);

/// What follows the header, row-major, in this machine's representation, in pieces. Bools become 0 or 1.
void read_npy_elements(ZipArchive::Stream& stream, const NpyHeader& header,
                       const std::function<void(std::span<const std::byte>)>& take);

/// The whole array. Errors name archive and member.
Tensor read_npy(ZipArchive& archive, const ZipMember& member);

/// The header that NumPy writes for such an array, padded so that the elements begin at a multiple of 64 bytes.
/// Throws UserError for bf16, which NumPy does not have.
std::string npy_header(DType dtype, const Shape& shape);

/// "images" of the member "images.npy".
std::string npy_name(const ZipMember& member);

}  // namespace weft
