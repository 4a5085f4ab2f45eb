// The rows of one dataset at random positions: where a reader's bytes come from.
//
// Three ways, best first: the whole dataset kept in memory (checked against its checksum while it is loaded); pread of
// the rows, neighbours joined, where they lie in the file as they are (the page cache is shared by the ranks of a
// node); HDF5 itself for compressed or foreign layouts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "src/hdf5/hdf5_file.hpp"
#include "weft/dtype.hpp"
#include "weft/shape.hpp"

namespace weft {

/// Owns a POSIX file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();
  int get() const { return value_; }

 private:
  int value_ = -1;
};

class SampleSource {
 public:
  /// `file` must outlive this. UserError for a missing or damaged dataset. It is loaded where it has at most
  /// `memory_limit` bytes.
  SampleSource(const hdf5::File& file, const std::string& dataset, std::int64_t memory_limit);

  const std::string& name() const { return name_; }
  DType dtype() const { return dataset_.dtype(); }
  const Shape& shape() const { return dataset_.shape(); }
  std::int64_t samples() const { return dataset_.shape()[0]; }
  std::int64_t bytes() const { return static_cast<std::int64_t>(dataset_.bytes()); }
  bool in_memory() const { return !memory_.empty(); }

  /// Points rows[i] at sample ids[i], until the next call. SystemError names file, dataset and sample.
  void locate(std::span<const std::int64_t> ids, std::vector<const std::byte*>& rows);

 private:
  void load(const hdf5::File& file);
  void read_run(std::int64_t first, std::int64_t count, std::byte* out);

  std::string file_, name_;
  hdf5::Dataset dataset_;
  std::size_t row_bytes_ = 0;
  Descriptor descriptor_;
  std::vector<std::byte> memory_, staging_;
  std::vector<std::size_t> by_offset_;
};

}  // namespace weft
