// ONNX TensorProto files (`.pb`): one tensor each, as backend-test folders and `weft predict` use them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "weft/tensor.hpp"

namespace weft::onnx {

/// A named tensor of a `.pb` file (the name may be empty). All storage forms are read: raw, typed fields, 16-bit
/// floats in integers, external files beside it. Throws UserError for what is malformed, not a tensor, or of a type
/// that Weft does not have (strings, complex numbers, 8-bit floats), SystemError when the file cannot be read.
std::pair<std::string, Tensor> read_tensor_pb(const std::filesystem::path& path);
std::pair<std::string, Tensor> parse_tensor_pb(std::span<const std::byte> bytes, const std::string& where);

/// Written aside, flushed and renamed: the file is whole or not there. Throws SystemError.
void write_tensor_pb(const std::filesystem::path& path, const std::string& name, const Tensor& tensor);

}  // namespace weft::onnx
