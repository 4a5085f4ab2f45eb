// TensorBoard event files: scalars by tag and step, written without TensorFlow.
//
// A file is a sequence of records, each an `Event` message in protobuf's wire format:
//   u64 length · u32 masked CRC-32C of the length · the message · u32 masked CRC-32C of the message
// with mask(c) = ((c >> 15) | (c << 17)) + 0xa282ead8. All little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "src/files/file_system.hpp"

namespace weft {

struct ScalarValue {
  std::string tag;  ///< "train/loss"
  double value = 0;
};

/// CRC-32C (Castagnoli), as in iSCSI.
std::uint32_t crc32c(std::span<const std::byte> bytes);

// Messages, framed as records.
std::string version_record(double wall_time);
/// Tells TensorBoard to forget steps from `step` on that earlier files of the folder hold.
std::string restart_record(double wall_time, std::int64_t step);
std::string scalars_record(double wall_time, std::int64_t step, std::span<const ScalarValue> values);

class EventWriter {
 public:
  /// Makes a new file in `folder`; a job that resumes after `resumed_step` > 0 says so in it. Throws SystemError.
  EventWriter(FileSystem& files, const std::filesystem::path& folder, std::int64_t resumed_step);
  void write(std::int64_t step, std::span<const ScalarValue> values);
  const std::filesystem::path& path() const { return path_; }

 private:
  void append(std::string_view record);

  std::filesystem::path path_;
  std::unique_ptr<File> file_;
  std::int64_t end_ = 0;
};

}  // namespace weft
