// Walking three levels of protobuf's wire format: model, graph, initializer.
//
// A field is a tag (number and wire type), then a varint, four or eight bytes, or a length with as many bytes. Fields
// are copied as they stand, but for the three on the way to raw data, whose lengths change.
#include "graph/onnx/skeleton.hpp"

#include <algorithm>
#include <cstring>

namespace weft::onnx {
namespace {

constexpr std::uint64_t kGraph = 7, kInitializer = 5, kRawData = 9;  // of ModelProto, GraphProto, TensorProto
enum Wire : std::uint64_t { kVarint = 0, kEight = 1, kBytes = 2, kFour = 5 };

/// Not as ONNX's writers encode a model.
struct Unusual {};

/// A file's bytes through a window. Every read is checked against the end of the field that it is in.
class Window {
 public:
  Window(std::int64_t size, const ReadBytes& read) : size_(size), read_(read) {}

  std::int64_t position() const { return position_; }
  void skip(std::int64_t length) { position_ += length; }

  /// At most ten bytes, seven bits each, least significant first.
  std::uint64_t varint(std::int64_t end) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (position_ >= end) throw Unusual{};
      const auto byte = static_cast<unsigned char>(*at(position_++, 1));
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
    throw Unusual{};
  }

  /// A length that must end by `end`.
  std::int64_t length(std::int64_t end) {
    const std::uint64_t value = varint(end);
    if (value > static_cast<std::uint64_t>(end - position_)) throw Unusual{};
    return static_cast<std::int64_t>(value);
  }

  void copy(std::int64_t count, std::int64_t end, std::string& to) {
    if (count > end - position_) throw Unusual{};
    while (count > 0) {
      const std::int64_t part = std::min(count, kWindow);
      to.append(at(position_, part), static_cast<std::size_t>(part));
      position_ += part, count -= part;
    }
  }

 private:
  static constexpr std::int64_t kWindow = 1 << 16;

  /// `count` bytes, at most a window's, which are inside the file.
  const char* at(std::int64_t offset, std::int64_t count) {
    if (offset < first_ || offset + count > first_ + held_) {
      first_ = offset;
      held_ = std::min(kWindow, size_ - offset);
      buffer_.resize(static_cast<std::size_t>(kWindow));
      read_(first_, held_, buffer_.data());
    }
    return buffer_.data() + (offset - first_);
  }

  std::int64_t size_;
  const ReadBytes& read_;
  std::string buffer_;
  std::int64_t first_ = 0, held_ = 0, position_ = 0;
};

void append_varint(std::uint64_t value, std::string& to) {
  for (; value > 127; value >>= 7) to.push_back(static_cast<char>(value | 128));
  to.push_back(static_cast<char>(value));
}

// A length that is filled in once it is known takes the most bytes that a parser reads of one.
constexpr std::size_t kLengthBytes = 5;

std::size_t open_field(std::uint64_t number, std::string& to) {
  append_varint(number << 3 | kBytes, to);
  to.append(kLengthBytes, '\0');
  return to.size();
}

/// `start` is what open_field returned.
void close_field(std::size_t start, std::string& to) {
  std::uint64_t length = to.size() - start;
  for (std::size_t i = 0; i < kLengthBytes; ++i, length >>= 7)
    to[start - kLengthBytes + i] = static_cast<char>((length & 127) | (i + 1 < kLengthBytes ? 128 : 0));
}

class Walk {
 public:
  Walk(std::int64_t size, const ReadBytes& read, std::int64_t threshold)
      : in_(size, read), size_(size), threshold_(threshold) {}

  Skeleton run() {
    fields(size_, [&](std::uint64_t number, std::int64_t end) {
      if (number != kGraph) return false;
      const std::size_t start = open_field(kGraph, to_);
      walk_graph(end);
      close_field(start, to_);
      return true;
    });
    return std::move(result_);
  }

 private:
  /// Copies all fields up to `end`, but those with bytes that `taken(number, end)` takes.
  template <class Take>
  void fields(std::int64_t end, const Take& taken) {
    while (in_.position() < end) {
      const std::uint64_t tag = in_.varint(end);
      if (tag >> 3 == 0 || tag >> 32 != 0) throw Unusual{};
      std::int64_t length = 0;
      switch (tag & 7) {
        case kVarint:
          append_varint(tag, to_);
          append_varint(in_.varint(end), to_);
          continue;
        case kEight: length = 8; break;
        case kFour: length = 4; break;
        case kBytes:
          length = in_.length(end);
          if (taken(tag >> 3, in_.position() + length)) continue;
          break;
        default: throw Unusual{};  // groups, which ONNX does not have
      }
      append_varint(tag, to_);
      if ((tag & 7) == kBytes) append_varint(static_cast<std::uint64_t>(length), to_);
      in_.copy(length, end, to_);
    }
  }

  void walk_graph(std::int64_t end) {
    fields(end, [&](std::uint64_t number, std::int64_t tensor_end) {
      if (number != kInitializer) return false;
      const std::size_t start = open_field(kInitializer, to_);
      walk_tensor(tensor_end);
      close_field(start, to_);
      ++initializers_;
      return true;
    });
  }

  void walk_tensor(std::int64_t end) {
    bool seen = false;
    fields(end, [&](std::uint64_t number, std::int64_t data_end) {
      if (number != kRawData) return false;
      if (seen) throw Unusual{};  // the last one would count
      seen = true;
      const FileRange data{in_.position(), data_end - in_.position()};
      if (data.length < threshold_) return false;
      result_.left_out.push_back({initializers_, data});
      in_.skip(data.length);
      return true;
    });
  }

  Window in_;
  std::int64_t size_, threshold_;
  int initializers_ = 0;
  Skeleton result_;
  std::string& to_ = result_.bytes;
};

}  // namespace

std::optional<Skeleton> skeleton_of(std::int64_t size, const ReadBytes& read, std::int64_t threshold) {
  try {
    return Walk(size, read, threshold).run();
  } catch (const Unusual&) {
    return std::nullopt;
  }
}

}  // namespace weft::onnx
