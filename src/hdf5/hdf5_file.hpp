// Plain HDF5 files: groups, datasets of numbers, and attributes; what Weft's data files and checkpoints are made of.
//
// A thin wrapper that owns its handles, may be called from any thread (calls take turns: the library is one per
// process), and trusts no file: types, ranks and extents are checked against what the file can hold before anything
// is allocated, links out of the file are not followed, and a damaged file ends in an Error, whose message names the
// file and HDF5's own reason. Files are opened serially, without MPI-IO and without file locks, by one process.
//
// Errors: UserError where the content is at fault, SystemError where the operating system refuses or writing fails.
//
// Files are written in HDF5 1.10's format (all metadata carries checksums), and hold no times: equal content gives
// equal bytes. Objects are named by absolute paths, "/state/momentum"; the root is "/".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "src/hdf5/handle.hpp"
#include "weft/dtype.hpp"
#include "weft/shape.hpp"
#include "weft/tensor.hpp"

namespace weft::hdf5 {

struct WriteStatus;

/// The value of an attribute. Integers of every width read as i64, floats as f64, strings of either kind as UTF-8.
using Attribute = std::variant<std::string, std::int64_t, double, std::vector<std::string>, std::vector<std::int64_t>,
                               std::vector<double>>;

/// One dataset of an open file. Valid while the File lives; move-only.
class Dataset {
 public:
  const std::string& path() const { return path_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  /// Extents of a chunk; empty where the dataset is not chunked.
  const Dims& chunk() const { return chunk_; }
  /// Where the elements lie in the file as one row-major run in this machine's representation, for readers and
  /// writers that go around the library (pread, pwrite); nothing where they do not, or where there are none.
  /// The run is inside the file's size for files opened to be read.
  std::optional<std::int64_t> raw_offset() const { return raw_offset_; }

  std::int64_t rows() const { return shape_.rank() == 0 ? 1 : shape_[0]; }
  std::size_t row_bytes() const;  ///< bytes of one step along dimension 0
  std::size_t bytes() const;

  /// Reads rows [first, first + count) of dimension 0 (a scalar has one row); `out` holds exactly their bytes.
  void read_rows(std::int64_t first, std::int64_t count, std::span<std::byte> out) const;
  void write_rows(std::int64_t first, std::int64_t count, std::span<const std::byte> in);
  /// The whole dataset.
  Tensor read() const;
  /// Throws InternalError unless type and shape are the dataset's.
  void write(const Tensor& value);

 private:
  friend class File;
  Dataset(std::string file, std::string path, Handle id, std::int64_t file_size,
          std::shared_ptr<const WriteStatus> status);

  void read_layout(std::int64_t file_size);
  Handle select_rows(std::int64_t first, std::int64_t count) const;

  std::string file_, path_;
  std::shared_ptr<const WriteStatus> status_;
  Handle id_;
  DType dtype_ = DType::f32;
  Shape shape_;
  Dims chunk_;
  std::optional<std::int64_t> raw_offset_;
};

class File {
 public:
  enum class Access { read, update };

  /// An existing file.
  static File open(const std::string& path, Access access = Access::read);
  /// A new file; SystemError where it exists. Datasets start at multiples of `alignment` bytes.
  static File create(const std::string& path, std::int64_t alignment = 1);

  const std::string& path() const { return path_; }

  struct Entry {
    std::string name;  ///< without the group's path
    bool is_group = false;
    bool is_dataset = false;
  };
  /// The members of a group, sorted by name; links that leave the file or alias a path are left out.
  std::vector<Entry> list(const std::string& group = "/") const;
  bool exists(const std::string& path) const;

  /// Creates the group and its parents where missing.
  void create_group(const std::string& path);
  /// Space is allocated at once and never filled: raw_offset() is known straight away, and elements that are not
  /// written are unspecified. Contiguous, or with `chunk_rows` chunked along dimension 0. Parents are created.
  Dataset create_dataset(const std::string& path, DType type, const Shape& shape, std::int64_t chunk_rows = 0);
  Dataset dataset(const std::string& path) const;

  /// Creates or replaces an attribute of the group or dataset `object`.
  void set_attribute(const std::string& object, const std::string& name, const Attribute& value);
  /// Nothing where there is no such attribute; UserError where its type is none of Attribute's.
  std::optional<Attribute> attribute(const std::string& object, const std::string& name) const;
  /// Those whose type is one of Attribute's.
  std::map<std::string, Attribute> attributes(const std::string& object) const;

  /// Writes out and closes; the destructor does too, but cannot report what failed. After a failed write (a full
  /// disk) nothing more is written, and every call that writes throws the same SystemError.
  void close();

 private:
  File(std::string path, std::shared_ptr<WriteStatus> status, Handle id, std::int64_t size)
      : path_(std::move(path)), status_(std::move(status)), id_(std::move(id)), size_(size) {}

  bool link_exists(const std::string& path) const;
  Handle open_object(const std::string& path) const;
  void check_path(const std::string& path) const;

  std::string path_;
  std::shared_ptr<WriteStatus> status_;  ///< outlives the handle, which reports to it
  Handle id_;
  std::int64_t size_ = 0;  ///< when opened
};

}  // namespace weft::hdf5
