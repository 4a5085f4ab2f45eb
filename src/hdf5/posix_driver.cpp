// HDF5's virtual file layer over pread and pwrite.
#include "src/hdf5/posix_driver.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>

#include "weft/error.hpp"

namespace weft::hdf5 {

namespace {

// HDF5 hands the base part around; the driver's own part follows it.
struct PosixFile {
  H5FD_t base{};
  int descriptor = -1;
  haddr_t end_allocated = 0;  // what HDF5 has given out
  haddr_t end_of_file = 0;    // what the file holds
  WriteStatus* status = nullptr;

  PosixFile() = default;
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;
  ~PosixFile() {
    if (descriptor >= 0 && ::close(descriptor) != 0 && status->error == 0 && errno != EINTR) status->error = errno;
  }
};

PosixFile& self(H5FD_t* file) { return *reinterpret_cast<PosixFile*>(file); }
const PosixFile& self(const H5FD_t* file) { return *reinterpret_cast<const PosixFile*>(file); }

// In the form in which `fail` finds what the operating system said.
void push_errno(const char* what, int error) noexcept {
  H5Epush2(H5E_DEFAULT, __FILE__, what, __LINE__, H5E_ERR_CLS, H5E_IO, H5E_READERROR, "%s failed: errno = %d, %s", what,
           error, std::strerror(error));
}

H5FD_t* open_file(const char* name, unsigned flags, hid_t properties, haddr_t) noexcept {
  const void* info = H5Pget_driver_info(properties);
  if (info == nullptr) return nullptr;
  int mode = (flags & H5F_ACC_RDWR) != 0 ? O_RDWR : O_RDONLY;
  if ((flags & H5F_ACC_CREAT) != 0) mode |= O_CREAT;
  if ((flags & H5F_ACC_EXCL) != 0) mode |= O_EXCL;
  if ((flags & H5F_ACC_TRUNC) != 0) mode |= O_TRUNC;
  auto file = std::unique_ptr<PosixFile>(new (std::nothrow) PosixFile);
  if (!file) return nullptr;
  std::memcpy(&file->status, info, sizeof file->status);
  file->descriptor = ::open(name, mode | O_CLOEXEC, 0666);
  struct stat status {};
  if (file->descriptor < 0 || ::fstat(file->descriptor, &status) != 0) {
    push_errno("open", errno);
    return nullptr;
  }
  file->end_of_file = static_cast<haddr_t>(status.st_size);
  return &file.release()->base;
}

herr_t close_file(H5FD_t* file) noexcept {
  delete &self(file);
  return 0;
}

// Every opening is a file of its own, even of the same path: they share no state to break.
int compare(const H5FD_t* a, const H5FD_t* b) noexcept { return a < b ? -1 : a > b ? 1 : 0; }

herr_t query(const H5FD_t*, unsigned long* flags) noexcept {
  if (flags != nullptr)
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t get_eoa(const H5FD_t* file, H5FD_mem_t) noexcept { return self(file).end_allocated; }
haddr_t get_eof(const H5FD_t* file, H5FD_mem_t) noexcept { return self(file).end_of_file; }
herr_t set_eoa(H5FD_t* file, H5FD_mem_t, haddr_t address) noexcept {
  self(file).end_allocated = address;
  return 0;
}

herr_t read_bytes(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t size, void* buffer) noexcept {
  auto* out = static_cast<char*>(buffer);
  while (size > 0) {
    const ssize_t n = ::pread(self(file).descriptor, out, size, static_cast<off_t>(address));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      push_errno("read", errno);
      return -1;
    }
    if (n == 0) {  // allocated and not yet written
      std::memset(out, 0, size);
      return 0;
    }
    out += n;
    address += static_cast<haddr_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return 0;
}

herr_t write_bytes(H5FD_t* file, H5FD_mem_t, hid_t, haddr_t address, std::size_t size, const void* buffer) noexcept {
  PosixFile& f = self(file);
  const auto* in = static_cast<const char*>(buffer);
  while (size > 0 && f.status->error == 0) {
    const ssize_t n = ::pwrite(f.descriptor, in, size, static_cast<off_t>(address));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      f.status->error = n < 0 ? errno : EIO;
      break;
    }
    in += n;
    address += static_cast<haddr_t>(n);
    size -= static_cast<std::size_t>(n);
    f.end_of_file = std::max(f.end_of_file, address);
  }
  return 0;
}

// Gives the file the length that HDF5 has allocated.
herr_t set_length(H5FD_t* file, hid_t, hbool_t) noexcept {
  PosixFile& f = self(file);
  if (f.end_allocated == f.end_of_file) return 0;
  if (f.status->error == 0 && ::ftruncate(f.descriptor, static_cast<off_t>(f.end_allocated)) != 0)
    f.status->error = errno;
  f.end_of_file = f.end_allocated;
  return 0;
}

const H5FD_class_t& driver_class() {
  static constexpr H5FD_class_t kClass = [] {
    H5FD_class_t c{};
    c.name = "weft_posix";
    c.maxaddr = static_cast<haddr_t>(std::numeric_limits<off_t>::max());
    c.fc_degree = H5F_CLOSE_STRONG;
    c.fapl_size = sizeof(WriteStatus*);
    c.open = open_file;
    c.close = close_file;
    c.cmp = compare;
    c.query = query;
    c.get_eoa = get_eoa;
    c.set_eoa = set_eoa;
    c.get_eof = get_eof;
    c.read = read_bytes;
    c.write = write_bytes;
    c.truncate = set_length;
    constexpr H5FD_mem_t kMap[] = H5FD_FLMAP_DICHOTOMY;
    std::copy(std::begin(kMap), std::end(kMap), std::begin(c.fl_map));
    return c;
  }();
  return kClass;
}

}  // namespace

void WriteStatus::check(const std::string& file, const std::string& what) const {
  if (error != 0) throw SystemError::from_errno(fmt::format("{}: {}", file, what), error);
}

void use_posix_driver(Id access_properties, WriteStatus& status) {
  // Registered once in a process and never given back: where a file is the last to hold its driver, HDF5 1.10 frees the
  // driver's class first and then looks up in it how to close the file.
  static const Id driver = H5FDregister(&driver_class());
  const WriteStatus* pointer = &status;  // the properties copy the pointer itself
  check_internal(driver >= 0 && H5Pset_driver(access_properties, driver, &pointer) >= 0, "HDF5 refuses a file driver");
}

}  // namespace weft::hdf5
