// DataFile: a file of training data, described and checked.
//
// Training data is plain HDF5: datasets in the root group (or below it) whose first dimension is the samples. Files
// that `weft data import` writes carry attributes, none of which a reader needs: on the root `format`
// ("weft-data 1"), `weft_version`, `source`; on each dataset `checksum` ("xxh64:…" of its bytes in row-major,
// little-endian order), `min`, `max` and, for class labels, `classes` (their names in order of label).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "src/hdf5/hdf5_file.hpp"
#include "weft/dtype.hpp"
#include "weft/shape.hpp"
#include "weft/tensor.hpp"

namespace weft {

struct DatasetDescription {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  Dims chunk;                        ///< empty: contiguous
  std::optional<double> min, max;    ///< of all elements
  std::vector<std::string> classes;  ///< names of class labels
  std::string checksum;              ///< "xxh64:…", or empty
  // After verify():
  std::optional<bool> checksum_holds;
  std::vector<double> mean, deviation;     ///< of all finite elements, by channel; see value_statistics.hpp
  std::vector<std::int64_t> class_counts;  ///< of integers of rank 1: how many have label 0, 1, …
  std::int64_t not_finite = 0;             ///< elements that are NaN or infinite
};

struct DataDescription {
  std::string path;
  std::int64_t bytes = 0;    ///< of the file
  std::int64_t samples = 0;  ///< first extent of all datasets, or -1 where they differ
  std::string source, weft_version;
  std::vector<DatasetDescription> datasets;
  std::vector<std::string> skipped;  ///< members that are not datasets of numbers, with the reason

  std::string text() const;  ///< for people
  std::string json() const;
};

class DataFile {
 public:
  /// UserError where the file is no sound HDF5 file.
  explicit DataFile(const std::string& path);

  /// What the file says about itself: reads no elements.
  DataDescription describe() const;
  /// The same, with every element read: ranges and statistics are measured, checksums compared. `progress` is told
  /// how many bytes of all are read, and may throw to stop.
  DataDescription verify(const std::function<void(std::int64_t done, std::int64_t total)>& progress = {}) const;

 private:
  std::string path_;
  hdf5::File file_;
};

/// Names of all datasets, groups included ("images", "train/images"), in order.
std::vector<std::string> dataset_names(const hdf5::File& file);

/// Throws UserError where the dataset has a checksum attribute and it is not that of `hash`.
void check_checksum(const hdf5::File& file, const std::string& dataset, std::uint64_t hash);

/// Widens [min, max] to hold all `values` but NaN.
void update_range(const Tensor& values, std::optional<double>& min, std::optional<double>& max);

/// "xxh64:0123456789abcdef".
std::string checksum_text(std::uint64_t hash);

}  // namespace weft
