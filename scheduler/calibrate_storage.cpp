// Timing storage.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fmt/format.h"
#include "scheduler/calibrate.hpp"
#include "scheduler/measure.hpp"
#include "weft/error.hpp"

namespace weft {

StorageRates measure_storage(const std::filesystem::path& folder, std::int64_t bytes) {
  const auto path = folder / fmt::format(".weft-calibration-{}", getpid());
  const auto fail = [&](const char* what) {
    const int error = errno;
    throw SystemError::from_errno(fmt::format("cannot {} {}", what, path.string()), error);
  };
  struct Descriptor {
    int fd;
    std::filesystem::path path;
    ~Descriptor() {
      if (fd >= 0) close(fd);
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  } file{open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), path};
  if (file.fd < 0) {
    file.path.clear();  // not ours to remove
    fail("create");
  }
  std::vector<char> chunk(4 << 20);
  for (std::size_t i = 0; i < chunk.size(); ++i) chunk[i] = static_cast<char>((i * 2654435761U) >> 13);
  StorageRates rates;
  const auto begin_writing = MeasureClock::now();
  for (std::int64_t done = 0; done < bytes;) {
    const auto written = pwrite(
        file.fd, chunk.data(),
        static_cast<std::size_t>(std::min<std::int64_t>(bytes - done, static_cast<std::int64_t>(chunk.size()))), done);
    if (written <= 0) fail("write");
    done += written;
  }
  if (fdatasync(file.fd) != 0) fail("flush");
  rates.write = static_cast<double>(bytes) / std::max(seconds_since(begin_writing), 1e-9);
  // Only a request: where the page cache keeps the file, what is measured is memory, as training would see it too.
  (void)posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
  const auto begin = MeasureClock::now();
  for (std::int64_t done = 0; done < bytes;) {
    const auto got = pread(file.fd, chunk.data(), chunk.size(), done);
    if (got <= 0) fail("read");
    done += got;
  }
  rates.read = static_cast<double>(bytes) / std::max(seconds_since(begin), 1e-9);
  return rates;
}

}  // namespace weft
