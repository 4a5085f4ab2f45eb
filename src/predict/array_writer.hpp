// Writing named arrays to files of any kind that `weft predict` writes; each file appears whole or not at all.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/files/file_system.hpp"
#include "src/predict/array_file.hpp"

namespace weft {

class ArrayWriter {
 public:
  virtual ~ArrayWriter() = default;
  /// Appends elements to array number `array`, in row-major order.
  virtual void append(std::size_t array, std::span<const std::byte> elements) = 0;
  /// Flushes and renames into place. Without it nothing is left.
  virtual void finish() = 0;
};

/// The format follows from the extension. Throws UserError for what the format cannot hold: .pb takes one array, .h5
/// none that is empty or a scalar, .npz no bf16; SystemError where the file cannot be made.
std::unique_ptr<ArrayWriter> make_array_writer(FileSystem& files, const std::string& path,
                                               const std::vector<ArrayInfo>& arrays);

}  // namespace weft
