// InputStream: a source file read from front to back, gunzipped where it is gzip.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace weft {

/// What readers of long sources take at a time.
inline constexpr std::size_t kReadBlockBytes = std::size_t{1} << 20;

class InputStream {
 public:
  /// SystemError where the file cannot be opened, UserError where it is no regular file.
  explicit InputStream(const std::string& path);
  InputStream(InputStream&&) noexcept;
  InputStream& operator=(InputStream&&) noexcept;
  ~InputStream();

  const std::string& path() const { return path_; }
  std::int64_t file_bytes() const { return file_bytes_; }  ///< of the file as it is, compressed or not
  bool compressed() const;

  /// Up to out.size() bytes; fewer only at the end. UserError for a damaged or truncated gzip file.
  std::size_t read(std::span<std::byte> out);
  /// UserError naming `what` where the file ends before.
  void read_exactly(std::span<std::byte> out, std::string_view what);
  /// UserError unless the file ends here.
  void expect_end();
  void rewind();

 private:
  struct Gzip;
  std::string path_;
  std::int64_t file_bytes_ = 0;
  std::unique_ptr<Gzip> gzip_;
};

}  // namespace weft
