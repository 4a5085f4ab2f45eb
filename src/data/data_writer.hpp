// DataWriter: writes a file of training data aside, and renames it into place when it is whole.
//
// All datasets are declared first. HDF5 lays the file out; the elements are then written to their places with pwrite,
// so that a full disk is an errno of ours. Equal data gives equal bytes. The layout is that of data_file.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "src/data/sample_source.hpp"
#include "weft/dtype.hpp"
#include "weft/hash.hpp"
#include "weft/shape.hpp"

namespace weft {

struct DatasetPlan {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;                       ///< dimension 0: the samples
  std::vector<std::string> classes;  ///< names of class labels, or empty
};

/// `source` is what the file says it came from.
class DataWriter {
 public:
  /// SystemError where the file cannot be made or the disk has less room than the datasets need.
  DataWriter(const std::string& path, const std::string& source, std::vector<DatasetPlan> datasets);
  DataWriter(const DataWriter&) = delete;
  DataWriter& operator=(const DataWriter&) = delete;
  /// Removes what is not finished.
  ~DataWriter();

  /// Appends elements to dataset number `dataset`, in row-major order, in pieces of any size.
  void append(std::size_t dataset, std::span<const std::byte> elements);

  /// Writes out, records checksums and ranges, and renames. InternalError unless every dataset is complete.
  void finish();

 private:
  struct Column {
    DatasetPlan plan;
    std::int64_t next = 0, end = 0;  // file offsets
    std::vector<std::byte> pending;
    Hash64 hash;
    std::optional<double> min, max;
  };

  void lay_out(const std::string& source);
  void flush(Column& column);
  void record();

  std::string path_, aside_;
  std::vector<Column> columns_;
  Descriptor descriptor_;
};

}  // namespace weft
