// Bytes of initializers, part by part.
#include "graph/onnx/stored_bytes.hpp"

#include <algorithm>
#include <cstring>

#include "weft/hash.hpp"

namespace weft::onnx {
namespace {

constexpr std::int64_t kBeginning = 4096;
constexpr std::int64_t kPart = 1 << 18;  // fits a cache; a multiple of any number's size

}  // namespace

StoredBytes::StoredBytes(const pb::TensorProto& tensor, const DataPlaces& places) {
  if (const FileRange* range = places.find(tensor)) {
    file_ = places.file.get();
    offset_ = range->offset, size_ = range->length;
  } else if (tensor.has_raw_data()) {
    bytes_ = tensor.raw_data().data();
    size_ = static_cast<std::int64_t>(tensor.raw_data().size());
  } else if (tensor.float_data_size() > 0) {
    bytes_ = reinterpret_cast<const char*>(tensor.float_data().data());
    size_ = static_cast<std::int64_t>(sizeof(float)) * tensor.float_data_size();
  }
}

std::string StoredBytes::part(std::int64_t offset, std::int64_t length) const {
  if (file_ == nullptr) return {bytes_ + offset, static_cast<std::size_t>(length)};
  std::string part(static_cast<std::size_t>(length), '\0');
  file_->read(offset_ + offset, length, part.data());
  return part;
}

std::string StoredBytes::beginning() const { return part(0, std::min(size_, kBeginning)); }

bool StoredBytes::repeats_one_number() const {
  if (size_ < 8) return false;
  const std::string number = part(0, 4);
  for (std::int64_t at = 0; at < size_;) {
    const std::int64_t length = std::min(size_ - at, at == 0 ? kBeginning : kPart);
    const std::string some = part(at, length);
    for (std::size_t i = 0; i < some.size(); ++i)
      if (some[i] != number[i % 4]) return false;
    at += length;
  }
  return true;
}

std::uint64_t StoredBytes::hash() const {
  Hash64 hash;
  for (std::int64_t at = 0; at < size_; at += kPart) hash.update(part(at, std::min(size_ - at, kPart)));
  return hash.digest();
}

bool StoredBytes::operator==(const StoredBytes& other) const {
  if (size_ != other.size_) return false;
  for (std::int64_t at = 0; at < size_;) {
    const std::int64_t length = std::min(size_ - at, at == 0 ? kBeginning : kPart);
    if (part(at, length) != other.part(at, length)) return false;
    at += length;
  }
  return true;
}

}  // namespace weft::onnx
