// Reading the data files of backend-test cases.
#include "graph/onnx/verify_data.hpp"

#include <fmt/format.h>
#include <onnx/onnx-data_pb.h>

#include "graph/onnx/file_io.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

template <class Message>
Message parse_message(const std::string& bytes, const std::string& where) {
  Message message;
  if (!message.ParseFromString(bytes)) throw UserError(where + ": is damaged, or not what the model's type says");
  return message;
}

PortValue value_of(const pb::TensorProto& tensor, const std::string& where) {
  return {PortValue::Kind::tensor, {tensor_of(tensor, {}, where)}};
}

PortValue value_of(const pb::SequenceProto& sequence, const std::string& where) {
  if (sequence.elem_type() != pb::SequenceProto::TENSOR && sequence.tensor_values_size() == 0 &&
      (sequence.sequence_values_size() > 0 || sequence.map_values_size() > 0 || sequence.optional_values_size() > 0))
    throw UserError(where + " is a sequence of other things than tensors, which is not supported");
  PortValue value{PortValue::Kind::sequence, {}};
  for (const auto& tensor : sequence.tensor_values()) value.tensors.push_back(tensor_of(tensor, {}, where));
  return value;
}

PortValue value_of(const pb::OptionalProto& optional, const std::string& where) {
  if (optional.has_tensor_value()) return value_of(optional.tensor_value(), where);
  if (optional.has_sequence_value()) return value_of(optional.sequence_value(), where);
  return {PortValue::Kind::absent, {}};
}

PortValue read_port(const std::filesystem::path& path, const pb::TypeProto& type, std::int64_t limit) {
  const std::string where = path.filename().string(), bytes = read_file(path, limit);
  if (type.has_sequence_type()) return value_of(parse_message<pb::SequenceProto>(bytes, where), where);
  if (type.has_optional_type()) return value_of(parse_message<pb::OptionalProto>(bytes, where), where);
  if (type.has_tensor_type()) return value_of(parse_message<pb::TensorProto>(bytes, where), where);
  throw UserError(where + " is a map or a sparse tensor, which is not supported");
}

}  // namespace

std::vector<PortValue> read_ports(const std::filesystem::path& folder, const std::string& prefix,
                                  const std::vector<const pb::ValueInfoProto*>& ports, std::int64_t limit) {
  std::vector<PortValue> values;
  for (std::size_t i = 0;; ++i) {
    const std::filesystem::path path = folder / fmt::format("{}_{}.pb", prefix, i);
    if (!std::filesystem::exists(path)) return values;
    if (i >= ports.size())
      throw UserError(fmt::format("{} has more {}s than the model, which has {}", folder.filename().string(), prefix,
                                  ports.size()));
    values.push_back(read_port(path, ports[i]->type(), limit));
  }
}

std::string feed_name(const std::string& port, const PortValue& value, std::size_t i) {
  return value.kind == PortValue::Kind::sequence ? fmt::format("{}[{}]", port, i) : port;
}

}  // namespace weft::onnx
