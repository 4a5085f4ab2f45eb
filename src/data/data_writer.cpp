// Writing data files: layout by HDF5, elements by pwrite, then checksums, fsync and rename.
#include "src/data/data_writer.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "src/data/data_file.hpp"
#include "src/hdf5/hdf5_file.hpp"
#include "weft/error.hpp"

namespace weft {

namespace {

constexpr std::size_t kFlushBytes = std::size_t{4} << 20;
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
const char* const kNoChecksum = "xxh64:0000000000000000";

std::filesystem::path folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder;
}

// A name in the same folder (rename does not cross file systems) that no other process picks.
std::string aside_name(const std::string& path) {
  const auto name = std::filesystem::path(path).filename().string();
  if (name.empty()) throw UserError(fmt::format("'{}' names a folder; give the name of the file to write", path));
  return (folder_of(path) / fmt::format(".{}.partial-{}", name, ::getpid())).string();
}

void check_room(const std::string& path, std::int64_t needed) {
  struct statvfs status {};
  if (::statvfs(folder_of(path).c_str(), &status) != 0)
    throw SystemError::from_errno(fmt::format("{}: cannot write in its folder", path), errno);
  const auto room = static_cast<unsigned __int128>(status.f_bavail) * status.f_frsize;
  if (static_cast<unsigned __int128>(needed) > room)
    throw SystemError(fmt::format("{}: No space left on device: {} bytes are needed, {} are free", path, needed,
                                  static_cast<std::uint64_t>(room)));
}

void sync(int descriptor, const std::string& path) {
  if (::fsync(descriptor) != 0) throw SystemError::from_errno(fmt::format("{}: cannot write", path), errno);
}

}  // namespace

DataWriter::DataWriter(const std::string& path, const std::string& source, std::vector<DatasetPlan> datasets)
    : path_(path), aside_(aside_name(path)) {
  if (std::filesystem::is_directory(path)) throw UserError(fmt::format("{}: is a folder; give a file name", path));
  // The rename at the end would put a file in the place of a device.
  if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path))
    throw UserError(fmt::format("{}: is not a regular file; give another name", path));
  std::int64_t needed = 0;
  for (DatasetPlan& plan : datasets) {
    check_internal(plan.shape.rank() >= 1 && plan.shape.elements() > 0, "a data file's datasets are not empty");
    std::int64_t bytes = 0;
    if (__builtin_mul_overflow(plan.shape.elements(), static_cast<std::int64_t>(size_of(plan.dtype)), &bytes) ||
        __builtin_add_overflow(needed, bytes, &needed))
      throw UserError(
          fmt::format("{}: dataset '{}' {} would have more than 2^63 bytes", path, plan.name, plan.shape.str()));
    columns_.push_back({std::move(plan), 0, bytes, {}, {}, {}, {}});
  }
  check_room(path, needed);
  try {
    lay_out(source);
  } catch (Error& e) {
    ::unlink(aside_.c_str());  // the destructor does not run
    e.add_context("writing " + path);
    throw;
  }
}

DataWriter::~DataWriter() {
  if (!aside_.empty()) ::unlink(aside_.c_str());
}

void DataWriter::lay_out(const std::string& source) {
  ::unlink(aside_.c_str());  // a dead process of the same number may have left one
  hdf5::File file = hdf5::File::create(aside_, 4096);
  file.set_attribute("/", "format", "weft-data 1");
  file.set_attribute("/", "weft_version", WEFT_VERSION);
  file.set_attribute("/", "source", source);
  for (Column& c : columns_) {
    const std::string object = "/" + c.plan.name;
    const auto row_bytes = static_cast<std::size_t>(c.end) / static_cast<std::size_t>(c.plan.shape[0]);
    const auto chunk_rows = static_cast<std::int64_t>(std::max<std::size_t>(kChunkBytes / row_bytes, 1));
    const hdf5::Dataset dataset = file.create_dataset(object, c.plan.dtype, c.plan.shape, chunk_rows);
    c.next = dataset.raw_offset().value();
    c.end += c.next;
    // Placeholders of the final size: to fill them in later needs no room.
    file.set_attribute(object, "checksum", kNoChecksum);
    file.set_attribute(object, "min", 0.0);
    file.set_attribute(object, "max", 0.0);
    if (!c.plan.classes.empty()) file.set_attribute(object, "classes", c.plan.classes);
  }
  file.close();
  descriptor_ = Descriptor(::open(aside_.c_str(), O_RDWR | O_CLOEXEC));
  if (descriptor_.get() < 0) throw SystemError::from_errno(fmt::format("{}: cannot open", aside_), errno);
}

void DataWriter::append(std::size_t dataset, std::span<const std::byte> elements) {
  Column& c = columns_.at(dataset);
  check_internal(static_cast<std::int64_t>(c.pending.size() + elements.size()) <= c.end - c.next,
                 "more elements than declared are written to a dataset");
  c.pending.insert(c.pending.end(), elements.begin(), elements.end());
  if (c.pending.size() >= kFlushBytes) flush(c);
}

void DataWriter::flush(Column& c) {
  const std::size_t size = c.pending.size() / size_of(c.plan.dtype) * size_of(c.plan.dtype);
  Tensor values(c.plan.dtype, Shape{static_cast<std::int64_t>(size / size_of(c.plan.dtype))});
  std::copy_n(c.pending.begin(), size, values.mutable_data());
  c.hash.update({values.data(), size});
  update_range(values, c.min, c.max);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pwrite(descriptor_.get(), values.data() + done, size - done, c.next);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw SystemError::from_errno(fmt::format("{}: cannot write", path_), n < 0 ? errno : EIO);
    done += static_cast<std::size_t>(n);
    c.next += n;
  }
  c.pending.erase(c.pending.begin(), c.pending.begin() + static_cast<std::ptrdiff_t>(size));
}

void DataWriter::record() {
  hdf5::File file = hdf5::File::open(aside_, hdf5::File::Access::update);
  for (const Column& c : columns_) {
    const std::string object = "/" + c.plan.name;
    file.set_attribute(object, "checksum", checksum_text(c.hash.digest()));
    file.set_attribute(object, "min", c.min.value_or(0));
    file.set_attribute(object, "max", c.max.value_or(0));
  }
  file.close();
}

void DataWriter::finish() {
  for (Column& c : columns_) {
    flush(c);
    check_internal(c.next == c.end && c.pending.empty(), "a dataset is not complete");
    const auto classes = static_cast<double>(c.plan.classes.size());
    if (classes > 0 && (c.min.value_or(0) < 0 || c.max.value_or(0) >= classes))
      throw UserError(fmt::format("{}: labels go from {} to {}, and {} class names are given: label 0 is the first's",
                                  c.plan.name, c.min.value_or(0), c.max.value_or(0), c.plan.classes.size()));
  }
  try {
    record();
    sync(descriptor_.get(), path_);
    if (::rename(aside_.c_str(), path_.c_str()) != 0)
      throw SystemError::from_errno(fmt::format("{}: cannot rename the finished file to this name", path_), errno);
  } catch (Error& e) {
    e.add_context("writing " + path_);
    throw;
  }
  aside_.clear();
  const Descriptor folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());  // some file systems refuse it on folders; the data is safe already
}

}  // namespace weft
