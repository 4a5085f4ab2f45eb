// TensorProto files.
#include "graph/onnx/tensor_pb.hpp"

#include <google/protobuf/io/coded_stream.h>

#include "graph/onnx/file_io.hpp"
#include "graph/onnx/proto.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

constexpr std::int64_t kLimitBytes = (std::int64_t{1} << 31) - 1;

std::pair<std::string, Tensor> parse(const char* data, std::size_t size, const std::filesystem::path& folder,
                                     const std::string& where) {
  if (static_cast<std::int64_t>(size) > kLimitBytes) throw UserError(where + ": larger than 2 GiB");
  pb::TensorProto proto;
  if (!proto.ParseFromArray(data, static_cast<int>(size)))
    throw UserError(where + ": is not a TensorProto: the file is damaged or of another kind");
  return {proto.name(), tensor_of(proto, DataPlaces{folder}, where)};
}

}  // namespace

std::pair<std::string, Tensor> read_tensor_pb(const std::filesystem::path& path) {
  const std::string bytes = read_file(path, kLimitBytes);
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  return parse(bytes.data(), bytes.size(), folder, path.string());
}

std::pair<std::string, Tensor> parse_tensor_pb(std::span<const std::byte> bytes, const std::string& where) {
  return parse(reinterpret_cast<const char*>(bytes.data()), bytes.size(), {}, where);
}

void write_tensor_pb(const std::filesystem::path& path, const std::string& name, const Tensor& tensor) {
  if (static_cast<std::int64_t>(tensor.bytes()) > kLimitBytes - 4096)
    throw UserError(path.string() + ": a tensor of more than 2 GiB does not fit a TensorProto file; use .npz or .h5");
  std::string bytes;
  if (!proto_of(tensor, name).SerializeToString(&bytes))
    throw InternalError("cannot serialise the tensor for " + path.string());
  write_file_atomically(path, bytes);
}

}  // namespace weft::onnx
