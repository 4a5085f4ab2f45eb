// Inspection of TensorBoard event files: every record's checksums, and what scalars there are.
//
// Records are framed as src/run/event_writer.hpp says; messages are protobuf, of which only the fields needed are read:
// Event {wall_time = 1, step = 2, file_version = 3, summary = 5, session_log = 7}, Summary {value = 1},
// Value {tag = 1, simple_value = 2}.
#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <span>

#include "fmt/format.h"
#include "src/cli/inspect/inspection.hpp"
#include "src/run/event_writer.hpp"
#include "weft/error.hpp"

namespace weft::cli {
namespace {

constexpr std::uint64_t kLongestRecord = 64 << 20;
constexpr std::size_t kMostTags = 10'000;

struct Damage {
  std::string what;
};

// Fields of one protobuf message, from front to back.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : bytes_(bytes) {}

  bool next() {
    if (at_ == bytes_.size()) return false;
    const auto key = varint();
    number = static_cast<std::uint32_t>(key >> 3);
    switch (key & 7) {
      case 0: integer = varint(); break;
      case 1: integer = fixed(8); break;
      case 5: integer = fixed(4); break;
      case 2: {
        const auto length = varint();
        if (length > bytes_.size() - at_) throw Damage{"a field is longer than its message"};
        text = bytes_.substr(at_, length);
        at_ += length;
        break;
      }
      default: throw Damage{"a field has an unknown type"};
    }
    return true;
  }

  std::uint32_t number = 0;
  std::uint64_t integer = 0;  ///< of a varint or a fixed field
  std::string_view text;      ///< of a length-delimited one

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) throw Damage{"a message ends inside a number"};
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw Damage{"a number has too many bytes"};
  }
  std::uint64_t fixed(std::size_t size) {
    if (size > bytes_.size() - at_) throw Damage{"a message ends inside a number"};
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + at_, size);
    at_ += size;
    return value;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
};

struct Series {
  std::int64_t count = 0, last_step = 0;
  float last = 0;
};

struct Contents {
  std::int64_t records = 0, restarts = 0;
  std::string version;
  std::map<std::string, Series> series;
};

void read_value(std::string_view message, std::int64_t step, Contents& contents) {
  std::string tag;
  std::optional<float> value;
  for (Fields f(message); f.next();) {
    if (f.number == 1) tag = f.text;
    if (f.number == 2) value = std::bit_cast<float>(static_cast<std::uint32_t>(f.integer));
  }
  if (!value) return;  // an image, a histogram: not ours
  if (contents.series.size() >= kMostTags && !contents.series.contains(tag)) return;
  auto& series = contents.series[tag];
  ++series.count;
  series.last_step = step;
  series.last = *value;
}

void read_event(std::string_view message, Contents& contents) {
  std::int64_t step = 0;
  std::string_view summary;
  for (Fields f(message); f.next();) {
    if (f.number == 2) step = static_cast<std::int64_t>(f.integer);
    if (f.number == 3) contents.version = f.text;
    if (f.number == 5) summary = f.text;
    if (f.number == 7) ++contents.restarts;
  }
  for (Fields f(summary); f.next();)
    if (f.number == 1) read_value(f.text, step, contents);
}

std::uint32_t masked_crc(std::string_view bytes) {
  const auto crc = crc32c(std::as_bytes(std::span(bytes)));
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

template <class Word>
Word word_at(std::string_view bytes, std::size_t at) {
  Word word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

// Reads record by record; returns the offset behind the last whole one. Throws Damage.
std::int64_t read_records(const File& file, Contents& contents) {
  const auto size = file.size();
  std::int64_t at = 0;
  std::string buffer;
  const auto read = [&](std::int64_t offset, std::size_t count) {
    buffer.resize(count);
    file.read_at(std::as_writable_bytes(std::span(buffer)), offset);
  };
  while (size - at >= 12) {
    read(at, 12);
    const auto length = word_at<std::uint64_t>(buffer, 0);
    if (word_at<std::uint32_t>(buffer, 8) != masked_crc(std::string_view(buffer).substr(0, 8)))
      throw Damage{fmt::format("the length of record {} at byte {} fails its checksum", contents.records, at)};
    if (length > kLongestRecord) throw Damage{fmt::format("record {} claims {} bytes", contents.records, length)};
    if (static_cast<std::int64_t>(length) + 16 > size - at) return at;  // cut
    read(at + 12, length + 4);
    const auto message = std::string_view(buffer).substr(0, length);
    if (word_at<std::uint32_t>(buffer, length) != masked_crc(message))
      throw Damage{fmt::format("record {} at byte {} fails its checksum", contents.records, at)};
    try {
      read_event(message, contents);
    } catch (const Damage& damage) {
      throw Damage{fmt::format("record {} at byte {} is no event: {}", contents.records, at, damage.what)};
    }
    ++contents.records;
    at += static_cast<std::int64_t>(length) + 16;
  }
  return at;
}

}  // namespace

Inspection inspect_event_file(FileSystem& files, const std::filesystem::path& path) {
  const auto file = files.open(path, OpenMode::read);
  Contents contents;
  Inspection result;
  result.kind = "TensorBoard event file";
  try {
    const auto end = read_records(*file, contents);
    if (end < file->size())
      result.notes.push_back(fmt::format(
          "it ends inside a record, {} bytes after the last whole one: it is being written, or its writer was killed",
          file->size() - end));
  } catch (const Damage& damage) {
    result.problems.push_back(damage.what);
  }
  if (contents.version != "brain.Event:2")
    result.problems.emplace_back("its first record is not TensorBoard's version");
  result.text = fmt::format("  {} records, {} restarts\n", contents.records, contents.restarts);
  nlohmann::ordered_json scalars = nlohmann::ordered_json::object();
  for (const auto& [tag, series] : contents.series) {
    result.text += fmt::format("  {:24} {} values, the last {:.6g} at step {}\n", tag, series.count, series.last,
                               series.last_step);
    scalars[tag] = {{"values", series.count}, {"last_step", series.last_step}, {"last", series.last}};
  }
  result.details = {{"records", contents.records}, {"restarts", contents.restarts}, {"scalars", std::move(scalars)}};
  return result;
}

}  // namespace weft::cli
