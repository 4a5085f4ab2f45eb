// Rows of datasets from memory, from the page cache, or through HDF5.
#include "src/data/sample_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <utility>

#include "src/data/data_file.hpp"
#include "weft/error.hpp"
#include "weft/hash.hpp"

namespace weft {

namespace {

constexpr std::size_t kLoadBytes = std::size_t{4} << 20;

hdf5::Dataset open_samples(const hdf5::File& file, const std::string& name) {
  const std::string path = "/" + name;
  if (!file.exists(path))
    throw UserError(fmt::format("{}: there is no dataset '{}'; it has {}", file.path(), name,
                                fmt::join(dataset_names(file), ", ")));
  hdf5::Dataset dataset = file.dataset(path);
  if (dataset.shape().rank() == 0)
    throw UserError(
        fmt::format("{}: dataset '{}' is a scalar; its first dimension must be the samples", file.path(), name));
  return dataset;
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(value_, other.value_);
  return *this;
}
Descriptor::~Descriptor() {
  if (value_ >= 0) ::close(value_);
}

SampleSource::SampleSource(const hdf5::File& file, const std::string& dataset, std::int64_t memory_limit)
    : file_(file.path()), name_(dataset), dataset_(open_samples(file, dataset)), row_bytes_(dataset_.row_bytes()) {
  if (dataset_.raw_offset()) {
    descriptor_ = Descriptor(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
    if (descriptor_.get() < 0) throw SystemError::from_errno(fmt::format("{}: cannot open", file_), errno);
  }
  if (bytes() <= memory_limit && bytes() > 0) load(file);
}

void SampleSource::load(const hdf5::File& file) {
  memory_.resize(dataset_.bytes());
  const auto rows_at_once = static_cast<std::int64_t>(std::max<std::size_t>(kLoadBytes / row_bytes_, 1));
  Hash64 hash;
  for (std::int64_t first = 0; first < samples(); first += rows_at_once) {
    const std::int64_t count = std::min(rows_at_once, samples() - first);
    const std::span part(memory_.data() + static_cast<std::size_t>(first) * row_bytes_,
                         static_cast<std::size_t>(count) * row_bytes_);
    read_run(first, count, part.data());
    hash.update(part);
  }
  check_checksum(file, name_, hash.digest());
}

void SampleSource::locate(std::span<const std::int64_t> ids, std::vector<const std::byte*>& rows) {
  rows.resize(ids.size());
  if (!memory_.empty()) {
    for (std::size_t i = 0; i < ids.size(); ++i)
      rows[i] = memory_.data() + static_cast<std::size_t>(ids[i]) * row_bytes_;
    return;
  }
  staging_.resize(ids.size() * row_bytes_);
  by_offset_.resize(ids.size());
  std::iota(by_offset_.begin(), by_offset_.end(), std::size_t{0});
  std::sort(by_offset_.begin(), by_offset_.end(), [&](std::size_t a, std::size_t b) { return ids[a] < ids[b]; });
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t run = 1;
    while (i + run < ids.size() && ids[by_offset_[i + run]] == ids[by_offset_[i]] + static_cast<std::int64_t>(run))
      ++run;
    read_run(ids[by_offset_[i]], static_cast<std::int64_t>(run), staging_.data() + i * row_bytes_);
    for (std::size_t k = i; k < i + run; ++k) rows[by_offset_[k]] = staging_.data() + k * row_bytes_;
    i += run;
  }
}

void SampleSource::read_run(std::int64_t first, std::int64_t count, std::byte* out) {
  std::size_t left = static_cast<std::size_t>(count) * row_bytes_;
  const auto where = [&] {
    return fmt::format("{}: cannot read dataset '{}', samples {} to {}", file_, name_, first, first + count - 1);
  };
  if (descriptor_.get() < 0) {
    try {
      dataset_.read_rows(first, count, {out, left});
    } catch (const UserError& e) {  // it was sound when it was opened
      throw SystemError(where() + ": " + e.what());
    }
    return;
  }
  off_t offset = dataset_.raw_offset().value() + first * static_cast<std::int64_t>(row_bytes_);
  while (left > 0) {
    const ssize_t n = ::pread(descriptor_.get(), out, left, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw SystemError::from_errno(where(), errno);
    if (n == 0) throw SystemError(where() + ": the file ends before them; it was cut since it was opened");
    out += n;
    offset += n;
    left -= static_cast<std::size_t>(n);
  }
}

}  // namespace weft
