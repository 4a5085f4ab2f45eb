// Datasets and attributes of a checkpoint through the HDF5 wrapper.
#include "src/checkpoint/layout.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "src/hdf5/hdf5_file.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

// Large datasets start at page boundaries.
constexpr std::int64_t kAlignment = 4096;
constexpr const char* kJob = "/job";

Extent create(hdf5::File& file, const std::string& path, const TensorType& type) {
  const hdf5::Dataset dataset = file.create_dataset(path, type.dtype, type.shape);
  const auto bytes = static_cast<std::int64_t>(dataset.bytes());
  check_internal(bytes == 0 || dataset.raw_offset().has_value(), "HDF5 gave no place to '" + path + "'");
  return {path, dataset.raw_offset().value_or(0), bytes};
}

/// Eight attributes of the root at most: HDF5 keeps so many at the start of the file, where a truncated checkpoint is
/// still known for what it was.
void write_meta(hdf5::File& file, const CheckpointMeta& meta) {
  file.set_attribute("/", "format", std::string(kFormatName));
  file.set_attribute("/", "format_version", std::int64_t{kCheckpointFormat});
  file.set_attribute("/", "weft_version", meta.weft_version);
  file.set_attribute("/", "step", meta.step);
  file.set_attribute("/", "epoch", meta.epoch);
  file.set_attribute("/", "batch_in_epoch", meta.batch_in_epoch);
  file.set_attribute("/", "samples_seen", meta.samples_seen);
  file.set_attribute("/", "seed", meta.seed);
  file.create_group(kJob);
  file.set_attribute(kJob, "model_fingerprint", meta.model_fingerprint);
  file.set_attribute(kJob, "data_fingerprint", meta.data_fingerprint);
  file.set_attribute(kJob, "plan", meta.plan);
  file.set_attribute(kJob, "yaml", meta.job);
}

template <class T>
T read_meta(const hdf5::File& file, const std::string& name, const std::string& object = "/") {
  const auto value = file.attribute(object, name);
  if (!value || !std::holds_alternative<T>(*value))
    throw UserError(fmt::format("its attribute '{}' of '{}' is missing or of another type", name, object));
  return std::get<T>(*value);
}

CheckpointMeta read_meta(const hdf5::File& file) {
  CheckpointMeta meta;
  meta.weft_version = read_meta<std::string>(file, "weft_version");
  meta.step = read_meta<std::int64_t>(file, "step");
  meta.epoch = read_meta<std::int64_t>(file, "epoch");
  meta.batch_in_epoch = read_meta<std::int64_t>(file, "batch_in_epoch");
  meta.samples_seen = read_meta<std::int64_t>(file, "samples_seen");
  meta.seed = read_meta<std::int64_t>(file, "seed");
  meta.model_fingerprint = read_meta<std::string>(file, "model_fingerprint", kJob);
  meta.data_fingerprint = read_meta<std::string>(file, "data_fingerprint", kJob);
  meta.plan = read_meta<std::string>(file, "plan", kJob);
  meta.job = read_meta<std::string>(file, "yaml", kJob);
  if (meta.step < 0 || meta.epoch < 0 || meta.batch_in_epoch < 0 || meta.samples_seen < 0)
    throw UserError("its step or data position is negative");
  return meta;
}

DescribedState describe_state(const hdf5::File& file, const std::string& path) {
  const hdf5::Dataset dataset = file.dataset(path);
  const auto bytes = static_cast<std::int64_t>(dataset.bytes());
  if (bytes != 0 && !dataset.raw_offset())
    throw UserError(fmt::format("the dataset '{}' is not stored contiguously, as checkpoints are", path));
  return {state_of_path(path), {dataset.dtype(), dataset.shape()}, {path, dataset.raw_offset().value_or(0), bytes}};
}

/// Datasets of `group`, and of its groups when `nested`.
void describe_group(const hdf5::File& file, const std::string& group, bool nested,
                    std::vector<DescribedState>& states) {
  if (!file.exists(group)) return;
  for (const hdf5::File::Entry& entry : file.list(group)) {
    const std::string path = group + "/" + entry.name;
    if (entry.is_dataset)
      states.push_back(describe_state(file, path));
    else if (nested && entry.is_group)
      describe_group(file, path, false, states);
  }
}

}  // namespace

FileLayout lay_out(const std::filesystem::path& path, const StateSource& states, const CheckpointMeta& meta) {
  hdf5::File file = hdf5::File::create(path.string(), kAlignment);
  write_meta(file, meta);
  FileLayout layout;
  std::vector<std::string> paths;
  for (const StateItem& state : states) {
    paths.push_back(dataset_path(state.name, state.role));
    layout.states.push_back(create(file, paths.back(), state.type));
  }
  layout.checksums = create(file, kChecksums, {DType::u64, Shape{static_cast<std::int64_t>(layout.states.size())}});
  file.set_attribute(kChecksums, "datasets", paths);
  file.close();
  return layout;
}

Description describe(const std::filesystem::path& path) {
  const hdf5::File file = hdf5::File::open(path.string());
  Description description{read_meta(file), {}};
  for (const char* group : {"/parameters", "/statistics", "/accumulate", "/scalars"})
    describe_group(file, group, false, description.states);
  describe_group(file, "/optimizer", true, description.states);
  std::sort(description.states.begin(), description.states.end(),
            [](const DescribedState& a, const DescribedState& b) { return a.key.name < b.key.name; });
  return description;
}

}  // namespace weft
