// The values of backend-test cases: a tensor, a sequence of tensors, or an optional that holds nothing.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "graph/onnx/proto.hpp"
#include "weft/tensor.hpp"

namespace weft::onnx {

struct PortValue {
  enum class Kind : std::uint8_t { tensor, sequence, absent };
  Kind kind = Kind::tensor;
  std::vector<Tensor> tensors;  ///< one, a sequence's elements, or none
};

/// `prefix`_0.pb, `prefix`_1.pb, ... of a data set, as the types of `ports` say. Throws UserError for what is damaged,
/// larger than `limit` bytes, or of a type that Weft does not have.
std::vector<PortValue> read_ports(const std::filesystem::path& folder, const std::string& prefix,
                                  const std::vector<const pb::ValueInfoProto*>& ports, std::int64_t limit);

/// NAME for a tensor, NAME[i] for element `i` of a sequence: what import calls feeds and fetches.
std::string feed_name(const std::string& port, const PortValue& value, std::size_t i);

}  // namespace weft::onnx
