// Reading source files through zlib, which passes what is not gzip through as it is.
#include "src/data/input_stream.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>

#include "weft/error.hpp"

namespace weft {

struct InputStream::Gzip {
  gzFile file = nullptr;

  Gzip() = default;
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  ~Gzip() {
    if (file != nullptr) gzclose_r(file);
  }
};

InputStream::InputStream(const std::string& path) : path_(path), gzip_(std::make_unique<Gzip>()) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) throw SystemError::from_errno(fmt::format("{}: cannot open", path), errno);
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  gzip_->file = regular ? gzdopen(descriptor, "rb") : nullptr;
  if (gzip_->file == nullptr) {
    ::close(descriptor);
    throw UserError(fmt::format("{}: is not a regular file", path));
  }
  gzbuffer(gzip_->file, 1U << 18);
  file_bytes_ = status.st_size;
}

InputStream::InputStream(InputStream&&) noexcept = default;
InputStream& InputStream::operator=(InputStream&&) noexcept = default;
InputStream::~InputStream() = default;

bool InputStream::compressed() const { return gzdirect(gzip_->file) == 0; }

std::size_t InputStream::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const auto size = static_cast<unsigned>(std::min<std::size_t>(out.size() - done, 1U << 30));
    const int n = gzread(gzip_->file, out.data() + done, size);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
      continue;
    }
    int error = Z_OK;
    const char* reason = gzerror(gzip_->file, &error);
    if (error == Z_ERRNO) throw SystemError::from_errno(fmt::format("{}: cannot read", path_), errno);
    if (error == Z_BUF_ERROR) throw UserError(fmt::format("{}: the gzip file is truncated", path_));
    if (n < 0) throw UserError(fmt::format("{}: the gzip file is damaged: {}", path_, reason));
    break;
  }
  return done;
}

void InputStream::read_exactly(std::span<std::byte> out, std::string_view what) {
  const std::size_t n = read(out);
  if (n < out.size())
    throw UserError(
        fmt::format("{}: the file ends inside {}: {} bytes are missing; it is truncated", path_, what, out.size() - n));
}

void InputStream::expect_end() {
  std::byte extra{};
  if (read({&extra, 1}) != 0) throw UserError(fmt::format("{}: there are bytes after the end of its data", path_));
}

void InputStream::rewind() {
  if (gzrewind(gzip_->file) != 0) throw SystemError(fmt::format("{}: cannot read it a second time", path_));
}

}  // namespace weft
