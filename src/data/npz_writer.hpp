// NpzWriter: writes a NumPy archive aside, and renames it into place when it is whole.
//
// Arrays are stored, not compressed, so that every element has its place before the first one is written: arrays may be
// appended to in turns. Entries carry zip64 sizes as NumPy's own do; equal arrays give equal bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/files/file_system.hpp"
#include "weft/dtype.hpp"
#include "weft/shape.hpp"

namespace weft {

struct NpzArray {
  std::string name;  ///< without ".npy"
  DType dtype = DType::f32;
  Shape shape;
};

class NpzWriter {
 public:
  /// UserError for bf16, which NumPy does not have, and for two arrays of one name; SystemError where the file cannot
  /// be made or the disk has less room than the arrays need. `files` must outlive this.
  NpzWriter(FileSystem& files, const std::filesystem::path& path, const std::vector<NpzArray>& arrays);
  NpzWriter(const NpzWriter&) = delete;
  NpzWriter& operator=(const NpzWriter&) = delete;
  /// Removes what is not finished.
  ~NpzWriter();

  /// Appends elements to array number `array`, in row-major order, in pieces of any size.
  void append(std::size_t array, std::span<const std::byte> elements);

  /// Writes headers and directory, flushes, renames. InternalError unless every array is complete.
  void finish();

 private:
  struct Entry {
    std::string name;    ///< of the member, ".npy" included
    std::string header;  ///< of the array
    std::int64_t start = 0, size = 0;
    std::int64_t next = 0, end = 0;  ///< where elements go
    std::uint32_t crc = 0;
  };

  FileSystem& files_;
  std::filesystem::path path_, aside_;
  std::vector<Entry> entries_;
  std::int64_t directory_ = 0;
  std::unique_ptr<File> file_;
};

}  // namespace weft
