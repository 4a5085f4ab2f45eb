// Conditionals and loops become straight lines on import, so that they train.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/proto.hpp"
#include "tests/support/message_of.hpp"

namespace weft::onnx {
namespace {

using ::testing::HasSubstr;

void port(pb::ValueInfoProto& value, const std::string& name, std::int32_t type, const Dims& extents) {
  value.set_name(name);
  value.mutable_type()->mutable_tensor_type()->set_elem_type(type);
  auto* shape = value.mutable_type()->mutable_tensor_type()->mutable_shape();
  for (const std::int64_t extent : extents) shape->add_dim()->set_dim_value(extent);
}

pb::NodeProto& append_node(pb::GraphProto& graph, const std::string& op, const std::vector<std::string>& inputs,
                           const std::vector<std::string>& outputs) {
  pb::NodeProto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name(op + " of " + outputs.front());
  for (const auto& input : inputs) node.add_input(input);
  for (const auto& output : outputs) node.add_output(output);
  return node;
}

pb::GraphProto& subgraph(pb::NodeProto& node, const std::string& attribute) {
  auto& entry = *node.add_attribute();
  entry.set_name(attribute);
  entry.set_type(pb::AttributeProto::GRAPH);
  entry.mutable_g()->set_name(attribute);
  return *entry.mutable_g();
}

pb::ModelProto empty_model() {
  pb::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  model.mutable_graph()->set_name("control");
  return model;
}

ModelFile parsed_model(const pb::ModelProto& model) {
  const std::string bytes = model.SerializeAsString();
  return parse_model(std::as_bytes(std::span(bytes)), "control");
}

/// d(sum of y)/dx, beside y.
std::map<std::string, Tensor> with_gradient(const Graph& graph, const std::map<std::string, Tensor>& inputs) {
  GraphBuilder b(graph);
  const ValueId loss = b.reduce_all(Op::reduce_sum, graph.find_output("y"));
  b.output("dx", OutputRole::fetch, gradients(b, loss, {graph.find_input("x")}).front());
  return interpret(std::move(b).take(), inputs);
}

/// y = x squared `trips` times.
pb::ModelProto loop_model(bool trips_are_data) {
  pb::ModelProto model = empty_model();
  pb::GraphProto& graph = *model.mutable_graph();
  port(*graph.add_input(), "x", pb::TensorProto::FLOAT, {2});
  if (trips_are_data)
    port(*graph.add_input(), "trips", pb::TensorProto::INT64, {});
  else
    *graph.add_initializer() = proto_of(Tensor::scalar<std::int64_t>(3), "trips");
  pb::GraphProto& body = subgraph(append_node(graph, "Loop", {"trips", "", "x"}, {"y"}), "body");
  port(*body.add_input(), "i", pb::TensorProto::INT64, {});
  port(*body.add_input(), "go", pb::TensorProto::BOOL, {});
  port(*body.add_input(), "h", pb::TensorProto::FLOAT, {2});
  append_node(body, "Identity", {"go"}, {"go_on"});
  append_node(body, "Mul", {"h", "h"}, {"square"});
  port(*body.add_output(), "go_on", pb::TensorProto::BOOL, {});
  port(*body.add_output(), "square", pb::TensorProto::FLOAT, {2});
  port(*graph.add_output(), "y", pb::TensorProto::FLOAT, {2});
  return model;
}

TEST(ControlFlow, ALoopOfConstantLengthIsUnrolledAndDifferentiated) {
  const Graph graph = import_model(parsed_model(loop_model(false)), {}).forward;
  for (const Node& node : graph.nodes()) EXPECT_TRUE(node.bodies.empty());
  const auto results = with_gradient(graph, {{"x", Tensor::from<float>({2}, {1, 2})}});
  EXPECT_TRUE(results.at("y").identical(Tensor::from<float>({2}, {1, 256})));
  EXPECT_TRUE(results.at("dx").identical(Tensor::from<float>({2}, {8, 1024})));
}

TEST(ControlFlow, ALoopWhoseLengthIsDataIsRefusedWithTheInputThatDecides) {
  const ModelFile file = parsed_model(loop_model(true));
  EXPECT_EQ(required_constants(file, {}), std::vector<std::string>{"trips"});
  EXPECT_THAT(testing::message_of([&] { import_model(file, {}); }), HasSubstr("the values of input trips"));
  const Graph bound = import_model(file, {.constants = {{"trips", Tensor::scalar<std::int64_t>(1)}}}).forward;
  EXPECT_TRUE(with_gradient(bound, {{"x", Tensor::from<float>({2}, {3, 4})}})
                  .at("dx")
                  .identical(Tensor::from<float>({2}, {6, 8})));
}

TEST(ControlFlow, AConditionThatIsDataSelectsTheValueAndTheGradient) {
  pb::ModelProto model = empty_model();
  pb::GraphProto& graph = *model.mutable_graph();
  port(*graph.add_input(), "x", pb::TensorProto::FLOAT, {2});
  port(*graph.add_input(), "condition", pb::TensorProto::BOOL, {});
  pb::NodeProto& choice = append_node(graph, "If", {"condition"}, {"y"});
  for (const auto& [branch, op] : {std::pair{"then_branch", "Neg"}, std::pair{"else_branch", "Identity"}}) {
    pb::GraphProto& body = subgraph(choice, branch);
    append_node(body, op, {"x"}, {std::string(branch) + "/y"});
    port(*body.add_output(), std::string(branch) + "/y", pb::TensorProto::FLOAT, {2});
  }
  port(*graph.add_output(), "y", pb::TensorProto::FLOAT, {2});
  const Graph forward = import_model(parsed_model(model), {}).forward;
  for (const bool condition : {true, false}) {
    const auto results = with_gradient(
        forward, {{"x", Tensor::from<float>({2}, {1, 2})}, {"condition", Tensor::scalar<bool>(condition)}});
    const float sign = condition ? -1 : 1;
    EXPECT_TRUE(results.at("y").identical(Tensor::from<float>({2}, {sign, 2 * sign})));
    EXPECT_TRUE(results.at("dx").identical(Tensor::from<float>({2}, {sign, sign})));
  }
}

}  // namespace
}  // namespace weft::onnx
