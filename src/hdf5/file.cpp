// Files: opening, creating, listing, closing.
#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "src/hdf5/hdf5_file.hpp"
#include "src/hdf5/posix_driver.hpp"
#include "src/hdf5/types.hpp"
#include "weft/error.hpp"

namespace weft::hdf5 {

namespace {

constexpr std::size_t kMaxPath = 4096;
constexpr hsize_t kMaxMembers = 1'000'000;

Handle access_properties(std::int64_t alignment, WriteStatus& status) {
  Handle properties(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  const bool made = properties && H5Pset_libver_bounds(properties.id(), H5F_LIBVER_V110, H5F_LIBVER_LATEST) >= 0 &&
                    H5Pset_fclose_degree(properties.id(), H5F_CLOSE_STRONG) >= 0 &&
                    // Parallel file systems often refuse locks; files are written aside and renamed, so none is needed.
                    H5Pset_file_locking(properties.id(), false, true) >= 0 &&
                    H5Pset_alignment(properties.id(), alignment > 1 ? 512 : 1, static_cast<hsize_t>(alignment)) >= 0;
  check_internal(made, "HDF5 refuses file access properties");
  use_posix_driver(properties.id(), status);
  return properties;
}

// The size of a regular file that can be opened with `flags`; errno in the message otherwise (HDF5's are poorer).
std::int64_t probe(const std::string& path, int flags) {
  struct stat status {};
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK);
  const int error = descriptor < 0 || ::fstat(descriptor, &status) != 0 ? errno : 0;
  if (descriptor >= 0) ::close(descriptor);
  if (error != 0) throw SystemError::from_errno(fmt::format("{}: cannot open", path), error);
  if (!S_ISREG(status.st_mode)) throw UserError(fmt::format("{}: is not a regular file", path));
  return status.st_size;
}

herr_t add_member(hid_t group, const char* name, const H5L_info_t* link, void* client) noexcept {
  try {
    auto& entries = *static_cast<std::vector<File::Entry>*>(client);
    if (link->type != H5L_TYPE_HARD) return 0;
    H5O_info_t object{};
    if (H5Oget_info_by_name2(group, name, &object, H5O_INFO_BASIC, H5P_DEFAULT) < 0) return -1;
    entries.push_back({name, object.type == H5O_TYPE_GROUP, object.type == H5O_TYPE_DATASET});
    return 0;
  } catch (...) {
    return -1;
  }
}

}  // namespace

File File::open(const std::string& path, Access access) {
  const Lock lock;
  const bool update = access == Access::update;
  const std::int64_t size = probe(path, update ? O_RDWR : O_RDONLY);
  auto status = std::make_shared<WriteStatus>();
  const Handle properties = access_properties(1, *status);
  Handle id(H5Fopen(path.c_str(), update ? H5F_ACC_RDWR : H5F_ACC_RDONLY, properties.id()), H5Fclose);
  check(id.id(), path, "is not a sound HDF5 file");
  return File(path, std::move(status), std::move(id), size);
}

File File::create(const std::string& path, std::int64_t alignment) {
  const Lock lock;
  check_internal(alignment >= 1, "hdf5::File::create: the alignment is at least 1");
  struct stat existing {};
  if (::stat(path.c_str(), &existing) == 0)
    throw SystemError::from_errno(fmt::format("{}: cannot create", path), EEXIST);
  auto status = std::make_shared<WriteStatus>();
  const Handle properties = access_properties(alignment, *status);
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  check_internal(creation && H5Pset_obj_track_times(creation.id(), false) >= 0, "HDF5 refuses file properties");
  Handle id(H5Fcreate(path.c_str(), H5F_ACC_EXCL, creation.id(), properties.id()), H5Fclose);
  check(id.id(), path, "cannot create", true);
  return File(path, std::move(status), std::move(id), std::numeric_limits<std::int64_t>::max());
}

void File::close() {
  if (!id_) return;
  const Lock lock;
  check(H5Fclose(id_.release()), path_, "cannot close", true);
  status_->check(path_, "cannot write");
}

void File::check_path(const std::string& path) const {
  check_internal(static_cast<bool>(id_), "an HDF5 file is used after it was closed");
  if (path.empty() || path.front() != '/' || path.size() > kMaxPath || path.find('\0') != std::string::npos)
    throw UserError(fmt::format("{}: '{}' is not the absolute path of an HDF5 object", path_, path.substr(0, 200)));
}

// Every component must be a hard link: soft and external ones could lead out of the file or in circles.
bool File::link_exists(const std::string& path) const {
  for (std::size_t end = 1; end < path.size(); ++end) {
    end = std::min(path.find('/', end), path.size());
    const std::string part = path.substr(0, end);
    if (check(H5Lexists(id_.id(), part.c_str(), H5P_DEFAULT), path_, "cannot look up " + part) == 0) return false;
    H5L_info_t link{};
    check(H5Lget_info(id_.id(), part.c_str(), &link, H5P_DEFAULT), path_, "cannot look up " + part);
    if (link.type != H5L_TYPE_HARD)
      throw UserError(
          fmt::format("{}: '{}' is a link to elsewhere; Weft reads only what is in the file itself", path_, part));
  }
  return true;
}

bool File::exists(const std::string& path) const {
  const Lock lock;
  check_path(path);
  return link_exists(path);
}

Handle File::open_object(const std::string& path) const {
  check_path(path);
  if (!link_exists(path)) throw UserError(fmt::format("{}: there is no '{}' in it", path_, path));
  Handle object(H5Oopen(id_.id(), path.c_str(), H5P_DEFAULT), H5Oclose);
  check(object.id(), path_, "cannot open " + path);
  return object;
}

std::vector<File::Entry> File::list(const std::string& group) const {
  const Lock lock;
  const Handle object = open_object(group);
  if (H5Iget_type(object.id()) != H5I_GROUP) throw UserError(fmt::format("{}: '{}' is not a group", path_, group));
  H5G_info_t info{};
  check(H5Gget_info(object.id(), &info), path_, "cannot list " + group);
  if (info.nlinks > kMaxMembers)
    throw UserError(
        fmt::format("{}: group '{}' claims {} members, more than {}", path_, group, info.nlinks, kMaxMembers));
  std::vector<Entry> entries;
  check(H5Literate(object.id(), H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, add_member, &entries), path_,
        "cannot list " + group);
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  return entries;
}

void File::create_group(const std::string& path) {
  const Lock lock;
  check_path(path);
  const Handle creation(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  check_internal(creation && H5Pset_obj_track_times(creation.id(), false) >= 0, "HDF5 refuses group properties");
  for (std::size_t end = 1; end < path.size(); ++end) {
    end = std::min(path.find('/', end), path.size());
    const std::string part = path.substr(0, end);
    if (link_exists(part)) continue;
    const Handle group(H5Gcreate2(id_.id(), part.c_str(), H5P_DEFAULT, creation.id(), H5P_DEFAULT), H5Gclose);
    check(group.id(), path_, "cannot create group " + part, true);
  }
  status_->check(path_, "cannot create group " + path);
}

Dataset File::dataset(const std::string& path) const {
  const Lock lock;
  Handle object = open_object(path);
  if (H5Iget_type(object.id()) != H5I_DATASET) throw UserError(fmt::format("{}: '{}' is not a dataset", path_, path));
  return Dataset(path_, path, std::move(object), size_, status_);
}

Dataset File::create_dataset(const std::string& path, DType type, const Shape& shape, std::int64_t chunk_rows) {
  const Lock lock;
  check_path(path);
  if (const auto slash = path.rfind('/'); slash > 0) create_group(path.substr(0, slash));
  const std::vector<hsize_t> extents(shape.begin(), shape.end());
  const Handle space(extents.empty() ? H5Screate(H5S_SCALAR) : H5Screate_simple(shape.rank(), extents.data(), nullptr),
                     H5Sclose);
  check(space.id(), path_, "cannot create dataset " + path, true);
  const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  bool made = creation && H5Pset_obj_track_times(creation.id(), false) >= 0 &&
              H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY) >= 0 &&
              H5Pset_fill_time(creation.id(), H5D_FILL_TIME_NEVER) >= 0;
  if (chunk_rows > 0 && !extents.empty() && shape.elements() > 0) {
    std::vector<hsize_t> chunk = extents;
    chunk[0] = std::min(extents[0], static_cast<hsize_t>(chunk_rows));
    made = made && H5Pset_chunk(creation.id(), shape.rank(), chunk.data()) >= 0;
  }
  check_internal(made, "HDF5 refuses dataset properties");
  const Handle stored = make_type(type);
  Handle id(H5Dcreate2(id_.id(), path.c_str(), stored.id(), space.id(), H5P_DEFAULT, creation.id(), H5P_DEFAULT),
            H5Dclose);
  check(id.id(), path_, "cannot create dataset " + path, true);
  status_->check(path_, "cannot create dataset " + path);
  return Dataset(path_, path, std::move(id), size_, status_);
}

}  // namespace weft::hdf5
