// The wire format of TensorBoard's event files.
#include "src/run/event_writer.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>

namespace weft {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0u);
    table[i] = crc;
  }
  return table;
}

std::uint32_t masked_crc(std::string_view text) {
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(text.data(), text.size())));
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <class Word>
void put_word(std::string& to, Word word) {
  for (std::size_t i = 0; i < sizeof word; ++i) to += static_cast<char>(word >> (8 * i) & 0xff);
}

std::string framed(std::string_view message) {
  std::string record;
  put_word(record, static_cast<std::uint64_t>(message.size()));
  put_word(record, masked_crc(record));
  record += message;
  put_word(record, masked_crc(message));
  return record;
}

// Protobuf's wire types.
constexpr std::uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;

void put_varint(std::string& to, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>((value & 0x7f) | 0x80);
  to += static_cast<char>(value);
}

void put_key(std::string& to, std::uint32_t field, std::uint32_t wire_type) { put_varint(to, field << 3 | wire_type); }

void put_bytes(std::string& to, std::uint32_t field, std::string_view bytes) {
  put_key(to, field, kBytes);
  put_varint(to, bytes.size());
  to += bytes;
}

/// Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog = 7 }
std::string event(double wall_time, std::int64_t step) {
  std::string message;
  put_key(message, 1, kFixed64);
  put_word(message, std::bit_cast<std::uint64_t>(wall_time));
  if (step != 0) {
    put_key(message, 2, kVarint);
    put_varint(message, static_cast<std::uint64_t>(step));
  }
  return message;
}

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// As TensorBoard expects it: it shows files whose name contains "tfevents".
fs::path new_path(const FileSystem& files, const fs::path& folder) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  const auto seconds = static_cast<std::int64_t>(now());
  for (int i = 0;; ++i) {
    fs::path path = folder / fmt::format("events.out.tfevents.{}.{}.{}.{}", seconds, host.data(), ::getpid(), i);
    if (!files.exists(path)) return path;
  }
}

}  // namespace

std::uint32_t crc32c(std::span<const std::byte> bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_crc_table();
  std::uint32_t crc = ~0u;
  for (const std::byte byte : bytes) crc = kTable[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

std::string version_record(double wall_time) {
  std::string message = event(wall_time, 0);
  put_bytes(message, 3, "brain.Event:2");
  return framed(message);
}

std::string restart_record(double wall_time, std::int64_t step) {
  // SessionLog { SessionStatus status = 1 }, START = 1.
  std::string session;
  put_key(session, 1, kVarint);
  put_varint(session, 1);
  std::string message = event(wall_time, step);
  put_bytes(message, 7, session);
  return framed(message);
}

std::string scalars_record(double wall_time, std::int64_t step, std::span<const ScalarValue> values) {
  // Summary { repeated Value value = 1 }, Value { string tag = 1; float simple_value = 2 }.
  std::string summary;
  for (const ScalarValue& scalar : values) {
    std::string value;
    put_bytes(value, 1, scalar.tag);
    put_key(value, 2, kFixed32);
    put_word(value, std::bit_cast<std::uint32_t>(static_cast<float>(scalar.value)));
    put_bytes(summary, 1, value);
  }
  std::string message = event(wall_time, step);
  put_bytes(message, 5, summary);
  return framed(message);
}

EventWriter::EventWriter(FileSystem& files, const fs::path& folder, std::int64_t resumed_step)
    : path_(new_path(files, folder)), file_(files.open(path_, OpenMode::create)) {
  append(version_record(now()));
  if (resumed_step > 0) append(restart_record(now(), resumed_step + 1));
}

void EventWriter::write(std::int64_t step, std::span<const ScalarValue> values) {
  append(scalars_record(now(), step, values));
}

void EventWriter::append(std::string_view record) {
  append_whole(*file_, std::as_bytes(std::span(record.data(), record.size())), end_);
  end_ += static_cast<std::int64_t>(record.size());
}

}  // namespace weft
