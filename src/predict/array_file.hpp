// Files of named arrays, of any kind that `weft predict` reads: NumPy archives, HDF5 files, ONNX tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "weft/dtype.hpp"
#include "weft/shape.hpp"

namespace weft {

struct ArrayInfo {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::string str() const;  ///< "images u8[100, 1, 28, 28]"
};

class ArrayFile {
 public:
  ArrayFile(std::string path) : path_(std::move(path)) {}
  virtual ~ArrayFile() = default;

  const std::string& path() const { return path_; }
  const std::vector<ArrayInfo>& arrays() const { return arrays_; }
  /// Rows [first, first + count) of dimension 0 (a scalar is one row); `out` holds exactly their bytes.
  virtual void read_rows(std::size_t array, std::int64_t first, std::int64_t count, std::span<std::byte> out) = 0;

 protected:
  std::string path_;
  std::vector<ArrayInfo> arrays_;
};

/// What the names of input and output files may end in.
enum class ArrayFormat : std::uint8_t { npz, hdf5, tensor };
/// By the extension (.npz; .h5 or .hdf5; .pb). Throws UserError naming those.
ArrayFormat array_format(const std::string& path);

/// Throws UserError for an unknown extension and for files that are damaged or hold no arrays; SystemError where the
/// file cannot be read. Archives and tensors are read whole, HDF5 rows as they are asked for.
std::unique_ptr<ArrayFile> open_arrays(const std::string& path);

}  // namespace weft
