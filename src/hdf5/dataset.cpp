// Datasets: what they claim, checked against what the file holds, and their rows read and written.
#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <array>

#include "src/hdf5/hdf5_file.hpp"
#include "src/hdf5/posix_driver.hpp"
#include "src/hdf5/types.hpp"
#include "weft/error.hpp"

namespace weft::hdf5 {

namespace {

constexpr std::int64_t kMaxChunkBytes = std::int64_t{1} << 30;
// What deflate can make of a byte, with room for the others; more than that in a file is a claim, not data.
constexpr std::int64_t kMaxCompression = 1100;

// Product of bytes and extents; UserError where it passes 2^63.
std::int64_t checked_bytes(const Dims& extents, DType type, std::string_view file, std::string_view path) {
  auto bytes = static_cast<std::int64_t>(size_of(type));
  for (const std::int64_t e : extents)
    if (__builtin_mul_overflow(bytes, e, &bytes))
      throw UserError(
          fmt::format("{}: dataset '{}' claims shape {}, more than 2^63 bytes", file, path, to_string(extents)));
  return bytes;
}

Dims extents_of(Id space, std::string_view file, std::string_view path) {
  if (H5Sget_simple_extent_type(space) == H5S_NULL)
    throw UserError(fmt::format("{}: dataset '{}' is null: it has no elements and no shape", file, path));
  const int rank = check(H5Sget_simple_extent_ndims(space), file, "cannot read a shape");
  std::array<hsize_t, H5S_MAX_RANK> extents{};
  check(H5Sget_simple_extent_dims(space, extents.data(), nullptr), file, "cannot read a shape");
  return Dims(extents.begin(), extents.begin() + rank);
}

// Filters that come with the library; anything else would run code that the file names.
void check_filters(Id creation, std::string_view file, std::string_view path) {
  const int filters = check(H5Pget_nfilters(creation), file, "cannot read filters");
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0;
    std::size_t values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values, nullptr, 0, nullptr, nullptr);
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
      throw UserError(fmt::format("{}: dataset '{}' uses HDF5 filter {}; Weft reads gzip, shuffle and fletcher32", file,
                                  path, filter));
  }
}

// `count` rows in memory, of the file's rank: HDF5 walks elements one by one where the ranks differ.
Handle memory_space(const Shape& shape, std::int64_t count) {
  std::vector<hsize_t> extents(shape.begin(), shape.end());
  if (extents.empty()) extents.push_back(1);
  extents[0] = static_cast<hsize_t>(count);
  return Handle(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose);
}

}  // namespace

Dataset::Dataset(std::string file, std::string path, Handle id, std::int64_t file_size,
                 std::shared_ptr<const WriteStatus> status)
    : file_(std::move(file)), path_(std::move(path)), status_(std::move(status)), id_(std::move(id)) {
  const Handle type(H5Dget_type(id_.id()), H5Tclose);
  check(type.id(), file_, "cannot read the type of " + path_);
  const auto stored = stored_type(type.id());
  if (!stored)
    throw UserError(fmt::format("{}: dataset '{}' holds {} elements; Weft reads numbers (integers, floats, bool)",
                                file_, path_, class_name(type.id())));
  dtype_ = stored->type;
  const Handle space(H5Dget_space(id_.id()), H5Sclose);
  check(space.id(), file_, "cannot read the shape of " + path_);
  shape_ = Shape(extents_of(space.id(), file_, path_));
  checked_bytes(shape_.extents(), dtype_, file_, path_);
  read_layout(file_size);
  if (!stored->native) raw_offset_.reset();
}

void Dataset::read_layout(std::int64_t file_size) {
  const Handle creation(H5Dget_create_plist(id_.id()), H5Pclose);
  check(creation.id(), file_, "cannot read the layout of " + path_);
  const H5D_layout_t layout = H5Pget_layout(creation.id());
  if (layout == H5D_VIRTUAL || (layout == H5D_CONTIGUOUS && H5Pget_external_count(creation.id()) > 0))
    throw UserError(
        fmt::format("{}: dataset '{}' keeps its elements in other files, which Weft does not follow", file_, path_));
  check_filters(creation.id(), file_, path_);
  const bool filtered = H5Pget_nfilters(creation.id()) > 0;
  if (layout == H5D_CHUNKED) {
    std::array<hsize_t, H5S_MAX_RANK> chunk{};
    const int rank = check(H5Pget_chunk(creation.id(), H5S_MAX_RANK, chunk.data()), file_, "cannot read the chunks");
    chunk_.assign(chunk.begin(), chunk.begin() + rank);
    if (checked_bytes(chunk_, dtype_, file_, path_) > kMaxChunkBytes)
      throw UserError(fmt::format("{}: dataset '{}' has chunks of shape {}, more than {} bytes each", file_, path_,
                                  to_string(chunk_), kMaxChunkBytes));
  }
  if (shape_.elements() == 0) return;
  // A shape is only a claim: the file must be able to hold what is about to be allocated for it.
  const auto stored = static_cast<std::int64_t>(
      std::min<hsize_t>(H5Dget_storage_size(id_.id()), static_cast<hsize_t>(INT64_MAX / kMaxCompression)));
  const auto claimed = static_cast<std::int64_t>(bytes());
  if (stored > file_size || claimed > (filtered ? stored * kMaxCompression : stored))
    throw UserError(
        fmt::format("{}: dataset '{}' claims {} bytes {}, but {} are stored in a file of {}; it is "
                    "truncated or was never written",
                    file_, path_, claimed, shape_.str(), stored, file_size));
  if (filtered) return;
  haddr_t address = HADDR_UNDEF;
  if (layout == H5D_CONTIGUOUS) {
    address = H5Dget_offset(id_.id());
  } else if (layout == H5D_CHUNKED && std::equal(chunk_.begin() + 1, chunk_.end(), shape_.begin() + 1)) {
    // Without an index, chunks of whole rows follow one another in the file.
    H5D_chunk_index_t index = H5D_CHUNK_IDX_BTREE;
    check(H5Dget_chunk_index_type(id_.id(), &index), file_, "cannot read the chunk index of " + path_);
    if (index == H5D_CHUNK_IDX_NONE || index == H5D_CHUNK_IDX_SINGLE) {
      const std::array<hsize_t, H5S_MAX_RANK> origin{};
      hsize_t size = 0;
      check(H5Dget_chunk_info_by_coord(id_.id(), origin.data(), nullptr, &address, &size), file_,
            "cannot find the chunks of " + path_);
    }
  }
  if (address == HADDR_UNDEF) return;
  if (address > static_cast<haddr_t>(file_size) || claimed > file_size - static_cast<std::int64_t>(address))
    throw UserError(fmt::format("{}: dataset '{}' ends after the end of the file ({} bytes); the file is truncated",
                                file_, path_, file_size));
  raw_offset_ = static_cast<std::int64_t>(address);
}

std::size_t Dataset::bytes() const { return static_cast<std::size_t>(shape_.elements()) * size_of(dtype_); }

std::size_t Dataset::row_bytes() const {
  std::size_t result = size_of(dtype_);
  for (int d = 1; d < shape_.rank(); ++d) result *= static_cast<std::size_t>(shape_[d]);
  return result;
}

// The file's dataspace with rows [first, first + count) selected.
Handle Dataset::select_rows(std::int64_t first, std::int64_t count) const {
  check_internal(first >= 0 && count >= 0 && first <= rows() && count <= rows() - first,
                 "rows outside an HDF5 dataset");
  Handle space(H5Dget_space(id_.id()), H5Sclose);
  check(space.id(), file_, "cannot read the shape of " + path_);
  if (shape_.rank() == 0) return space;
  std::vector<hsize_t> start(static_cast<std::size_t>(shape_.rank()), 0);
  std::vector<hsize_t> extent(shape_.begin(), shape_.end());
  start[0] = static_cast<hsize_t>(first);
  extent[0] = static_cast<hsize_t>(count);
  check(H5Sselect_hyperslab(space.id(), H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr), file_,
        "cannot select rows of " + path_);
  return space;
}

void Dataset::read_rows(std::int64_t first, std::int64_t count, std::span<std::byte> out) const {
  check_internal(out.size() == static_cast<std::size_t>(count) * row_bytes(), "read_rows: the buffer's size is wrong");
  if (out.empty()) return;
  const Lock lock;
  const Handle selected = select_rows(first, count);
  const Handle memory = memory_space(shape_, count);
  const Handle type = make_type(dtype_);
  check(H5Dread(id_.id(), type.id(), memory.id(), selected.id(), H5P_DEFAULT, out.data()), file_,
        fmt::format("cannot read rows [{}, {}) of {}", first, first + count, path_));
  if (dtype_ == DType::boolean)  // any other byte would be undefined behaviour as a bool
    for (std::byte& b : out) b = b != std::byte{0} ? std::byte{1} : std::byte{0};
}

void Dataset::write_rows(std::int64_t first, std::int64_t count, std::span<const std::byte> in) {
  check_internal(in.size() == static_cast<std::size_t>(count) * row_bytes(), "write_rows: the buffer's size is wrong");
  if (in.empty()) return;
  const Lock lock;
  const Handle selected = select_rows(first, count);
  const Handle memory = memory_space(shape_, count);
  const Handle type = make_type(dtype_);
  check(H5Dwrite(id_.id(), type.id(), memory.id(), selected.id(), H5P_DEFAULT, in.data()), file_,
        "cannot write " + path_, true);
  status_->check(file_, "cannot write " + path_);
}

Tensor Dataset::read() const {
  Tensor result(dtype_, shape_);
  read_rows(0, rows(), {result.mutable_data(), result.bytes()});
  return result;
}

void Dataset::write(const Tensor& value) {
  check_internal(value.dtype() == dtype_ && value.shape() == shape_,
                 "a tensor is written to an HDF5 dataset of another type or shape");
  write_rows(0, rows(), {value.data(), value.bytes()});
}

}  // namespace weft::hdf5
