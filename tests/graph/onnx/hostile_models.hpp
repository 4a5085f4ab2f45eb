// What the tests of models made to do harm share: building one, and what importing it is refused with.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/resource.h>

#include <functional>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/import.hpp"
#include "tests/support/patience.hpp"
#include "weft/error.hpp"

namespace weft::onnx::hostile {

namespace messages = ::onnx;

inline void add_dims(messages::TensorShapeProto& shape, const Dims& extents) {
  for (const std::int64_t e : extents) shape.add_dim()->set_dim_value(e);
}

/// x f32[2, 3] goes in, y comes out; what lies between is each test's.
inline messages::ModelProto frame(const Dims& extents = {2, 3}) {
  messages::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  auto& input = *model.mutable_graph()->add_input();
  input.set_name("x");
  auto& type = *input.mutable_type()->mutable_tensor_type();
  type.set_elem_type(messages::TensorProto::FLOAT);
  add_dims(*type.mutable_shape(), extents);
  model.mutable_graph()->add_output()->set_name("y");
  return model;
}

inline messages::NodeProto& add_node(messages::GraphProto& graph, const std::string& op,
                                     const std::vector<std::string>& inputs, const std::vector<std::string>& outputs) {
  auto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name("the_" + op);
  for (const auto& name : inputs) node.add_input(name);
  for (const auto& name : outputs) node.add_output(name);
  return node;
}

inline messages::TensorProto& add_initializer(messages::GraphProto& graph, const std::string& name, const Dims& extents,
                                              const std::vector<std::int64_t>& values = {}) {
  auto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(messages::TensorProto::INT64);
  for (const std::int64_t e : extents) tensor.add_dims(e);
  for (const std::int64_t v : values) tensor.add_int64_data(v);
  return tensor;
}

/// What the importer says to it; "" when it takes it.
inline std::string refusal(const messages::ModelProto& model) {
  const std::string bytes = model.SerializeAsString();
  try {
    const ModelFile file = parse_model(std::as_bytes(std::span(bytes)), "hostile.onnx");
    import_model(file, {});
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

/// Runs `what` with an address space of its own peak plus `megabytes`; what takes more fails with std::bad_alloc.
inline void within_memory(std::int64_t megabytes, const std::function<void()>& what) {
  if (testing::kPatience != 1) return what();  // sanitizers map far more than they use
  rlimit former{};
  getrlimit(RLIMIT_AS, &former);
  const rlimit tight{static_cast<rlim_t>(megabytes) << 20, former.rlim_max};
  setrlimit(RLIMIT_AS, &tight);
  what();
  setrlimit(RLIMIT_AS, &former);
}

}  // namespace weft::onnx::hostile
