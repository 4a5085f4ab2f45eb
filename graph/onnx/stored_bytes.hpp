// The bytes of an initializer as they are stored, wherever that is, for comparing tensors without holding them.
#pragma once

#include <cstdint>
#include <string>

#include "graph/onnx/proto.hpp"

namespace weft::onnx {

/// Refers to the message; reads from the model's file, in parts, where the bytes were left there. All throw SystemError
/// when that fails.
class StoredBytes {
 public:
  StoredBytes(const pb::TensorProto& tensor, const DataPlaces& places);

  /// 0 where they are in another file, or in fields of other types than f32.
  std::int64_t size() const { return size_; }
  /// `length` bytes from `offset`, which are there.
  std::string part(std::int64_t offset, std::int64_t length) const;
  /// The first bytes, a few thousand, or all.
  std::string beginning() const;
  /// At least twice, and nothing else; of four bytes (or of two equal halves of them).
  bool repeats_one_number() const;
  std::uint64_t hash() const;
  bool operator==(const StoredBytes& other) const;

 private:
  const char* bytes_ = nullptr;  ///< in the message
  const OpenFile* file_ = nullptr;
  std::int64_t offset_ = 0, size_ = 0;
};

}  // namespace weft::onnx
