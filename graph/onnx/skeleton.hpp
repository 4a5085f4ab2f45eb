// A model file without its large tensors: read, their bytes left where they are.
//
// The parser of protobuf copies every tensor into its message, so that a model took twice its size before the first
// parameter was where it is used. The walk here copies everything but the raw data of large initializers of the main
// graph; what is left is parsed as it always was, and those bytes are read from the file when somebody wants them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace weft::onnx {

/// Bytes of a file.
struct FileRange {
  std::int64_t offset = 0, length = 0;
};

/// Raw data that were left out: of the main graph's initializer of this index.
struct LeftOut {
  int initializer = 0;
  FileRange bytes;
};

struct Skeleton {
  std::string bytes;  ///< an encoded ModelProto; its initializers that were left out have no raw data
  std::vector<LeftOut> left_out;
};

/// Reads `length` bytes from `offset`, which are inside the file.
using ReadBytes = std::function<void(std::int64_t offset, std::int64_t length, char* to)>;

/// Leaves out raw data of at least `threshold` bytes. Input is not trusted: nothing outside of `size` bytes is read,
/// and the skeleton is hardly longer than they are. Empty for what is not encoded as ONNX's writers do (it breaks off,
/// an initializer has its data twice, ...): the parser sees that whole, and says what is wrong with it if anything is.
std::optional<Skeleton> skeleton_of(std::int64_t size, const ReadBytes& read, std::int64_t threshold);

}  // namespace weft::onnx
