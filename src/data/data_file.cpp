// Describing and verifying files of training data.
#include "src/data/data_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "src/data/value_statistics.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {

namespace {

constexpr std::size_t kReadBytes = std::size_t{4} << 20;
constexpr int kMaxDepth = 16;
constexpr std::size_t kMaxDatasets = 100'000;

void collect_names(const hdf5::File& file, const std::string& group, int depth, std::vector<std::string>& names) {
  if (depth > kMaxDepth)
    throw UserError(fmt::format("{}: groups are nested more than {} deep at '{}'", file.path(), kMaxDepth, group));
  for (const hdf5::File::Entry& e : file.list(group)) {
    const std::string path = (group == "/" ? "/" : group + "/") + e.name;
    if (e.is_dataset) names.push_back(path.substr(1));
    if (e.is_group) collect_names(file, path, depth + 1, names);
    if (names.size() > kMaxDatasets)
      throw UserError(fmt::format("{}: it has more than {} datasets", file.path(), kMaxDatasets));
  }
}

std::string text_attribute(const hdf5::File& file, const std::string& object, const std::string& name) {
  const auto value = file.attribute(object, name);
  const auto* text = value ? std::get_if<std::string>(&*value) : nullptr;
  return text != nullptr ? *text : "";
}

std::optional<double> number_attribute(const hdf5::File& file, const std::string& object, const std::string& name) {
  const auto value = file.attribute(object, name);
  if (!value) return std::nullopt;
  if (const auto* d = std::get_if<double>(&*value)) return *d;
  if (const auto* i = std::get_if<std::int64_t>(&*value)) return static_cast<double>(*i);
  return std::nullopt;
}

DatasetDescription describe_dataset(const hdf5::File& file, const std::string& name) {
  const std::string path = "/" + name;
  const hdf5::Dataset dataset = file.dataset(path);
  DatasetDescription d;
  d.name = name;
  d.dtype = dataset.dtype();
  d.shape = dataset.shape();
  d.chunk = dataset.chunk();
  d.min = number_attribute(file, path, "min");
  d.max = number_attribute(file, path, "max");
  d.checksum = text_attribute(file, path, "checksum");
  if (auto classes = file.attribute(path, "classes"))
    if (auto* names = std::get_if<std::vector<std::string>>(&*classes)) d.classes = std::move(*names);
  return d;
}

// Measures range, statistics and checksum by reading everything; `read` is told of each piece's bytes.
void measure(const hdf5::File& file, DatasetDescription& d, const std::function<void(std::size_t)>& read) {
  const hdf5::Dataset dataset = file.dataset("/" + d.name);
  Hash64 hash;
  ValueStatistics statistics(d.dtype, d.shape);
  d.min = d.max = std::nullopt;
  const std::size_t row_bytes = std::max<std::size_t>(dataset.row_bytes(), 1);
  const auto rows_at_once = static_cast<std::int64_t>(std::max<std::size_t>(kReadBytes / row_bytes, 1));
  for (std::int64_t first = 0; first < dataset.rows() && dataset.bytes() > 0; first += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, dataset.rows() - first);
    const auto elements = static_cast<std::int64_t>(static_cast<std::size_t>(count) * row_bytes / size_of(d.dtype));
    Tensor rows(d.dtype, Shape{elements});
    dataset.read_rows(first, count, {rows.mutable_data(), rows.bytes()});
    hash.update({rows.data(), rows.bytes()});
    update_range(rows, d.min, d.max);
    statistics.add(rows);
    read(rows.bytes());
  }
  d.mean = statistics.mean();
  d.deviation = statistics.standard_deviation();
  d.class_counts = statistics.class_counts();
  d.not_finite = statistics.not_finite();
  if (!d.checksum.empty()) d.checksum_holds = d.checksum == checksum_text(hash.digest());
}

}  // namespace

void update_range(const Tensor& values, std::optional<double>& min, std::optional<double>& max) {
  visit_dtype(values.dtype(), [&]<class T>(TypeTag<T>) {
    for (const T& v : values.values<T>()) {
      double x = 0;
      if constexpr (std::is_arithmetic_v<T>)
        x = static_cast<double>(v);
      else
        x = static_cast<double>(static_cast<float>(v));
      if (!min || x < *min) min = x;  // NaN compares false: it is in no range
      if (!max || x > *max) max = x;
    }
  });
}

std::vector<std::string> dataset_names(const hdf5::File& file) {
  std::vector<std::string> names;
  collect_names(file, "/", 0, names);
  return names;
}

std::string checksum_text(std::uint64_t hash) { return "xxh64:" + hash_text(hash); }

void check_checksum(const hdf5::File& file, const std::string& dataset, std::uint64_t hash) {
  const std::string recorded = text_attribute(file, "/" + dataset, "checksum");
  if (recorded.empty() || recorded == checksum_text(hash)) return;
  throw UserError(
      fmt::format("{}: dataset '{}' is damaged: its checksum is {}, and {} was recorded when it was written.\n"
                  "  Copy the file again, or import the data again.",
                  file.path(), dataset, checksum_text(hash), recorded));
}

DataFile::DataFile(const std::string& path) : path_(path), file_(hdf5::File::open(path)) {}

DataDescription DataFile::describe() const {
  DataDescription result;
  result.path = path_;
  std::error_code error;
  result.bytes = static_cast<std::int64_t>(std::filesystem::file_size(path_, error));
  result.source = text_attribute(file_, "/", "source");
  result.weft_version = text_attribute(file_, "/", "weft_version");
  for (const std::string& name : dataset_names(file_)) {
    try {
      result.datasets.push_back(describe_dataset(file_, name));
    } catch (const UserError& e) {
      result.skipped.emplace_back(e.what());
    }
  }
  std::optional<std::int64_t> samples;
  for (const DatasetDescription& d : result.datasets) {
    const std::int64_t rows = d.shape.rank() == 0 ? -1 : d.shape[0];
    samples = !samples || *samples == rows ? rows : -1;
  }
  result.samples = samples.value_or(-1);
  return result;
}

DataDescription DataFile::verify(const std::function<void(std::int64_t done, std::int64_t total)>& progress) const {
  DataDescription result = describe();
  std::int64_t done = 0, total = 0;
  for (const DatasetDescription& d : result.datasets)
    total += d.shape.elements() * static_cast<std::int64_t>(size_of(d.dtype));
  for (DatasetDescription& d : result.datasets)
    measure(file_, d, [&](std::size_t bytes) {
      done += static_cast<std::int64_t>(bytes);
      if (progress) progress(done, total);
    });
  return result;
}

}  // namespace weft
