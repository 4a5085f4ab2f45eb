// Operators that import decomposes have gradients: they agree with finite differences in f64.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <span>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/onnx/import.hpp"
#include "graph/onnx/model_writer.hpp"
#include "graph/onnx/proto.hpp"
#include "tests/parity/formula.hpp"

namespace weft::onnx {
namespace {

using Values = std::map<std::string, Tensor>;

/// One node with these f64 operands (inputs a, b, ...) and its first output as the model's.
struct NodeCase {
  std::string op;
  std::vector<Shape> operands;
  Attributes attributes = {};
  std::vector<std::pair<int, Tensor>> constants = {};  ///< operands that are initializers instead
};

void PrintTo(const NodeCase& c, std::ostream* out) { *out << c.op; }

std::string input_name(std::size_t i) { return std::string(1, static_cast<char>('a' + i)); }

Graph imported(const NodeCase& c) {
  ModelWriter writer("one node");
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < c.operands.size(); ++i) {
    std::string name;
    for (const auto& [at, value] : c.constants)
      if (at == static_cast<int>(i)) name = writer.initializer("c" + input_name(i), value);
    if (name.empty() && c.operands[i].rank() > 0) {
      std::vector<ModelWriter::Dim> extents;
      for (const std::int64_t extent : c.operands[i].extents()) extents.emplace_back(extent);
      name = writer.input(input_name(i), DType::f64, extents);
    }
    inputs.push_back(name);
  }
  writer.output(writer.node(c.op, inputs, "node", c.attributes, "y"), DType::f64, {"?"});
  pb::ModelProto model = std::move(writer).finish().contents().proto;
  model.mutable_opset_import(0)->set_version(26);
  const std::string bytes = model.SerializeAsString();
  return import_model(parse_model(std::as_bytes(std::span(bytes)), "one node"), {}).forward;
}

/// sum of sin(y): an uneven weight for every element.
double loss_of(const Graph& graph, const Values& values) {
  const Tensor y = interpret(graph, values).at("y");
  double sum = 0;
  for (std::int64_t i = 0; i < y.elements(); ++i) sum += std::sin(y.as_double(i));
  return sum;
}

Values gradients_of(const Graph& graph, const Values& values) {
  GraphBuilder b(graph);
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.unary(Op::sin, graph.find_output("y")));
  std::vector<ValueId> wrt;
  for (const GraphInput& input : graph.inputs()) wrt.push_back(input.value);
  const std::vector<ValueId> grads = gradients(b, loss, wrt);
  for (std::size_t i = 0; i < wrt.size(); ++i) b.output("d" + graph.inputs()[i].name, OutputRole::fetch, grads[i]);
  return interpret(std::move(b).take(), values);
}

class ImportedGradient : public ::testing::TestWithParam<NodeCase> {};

TEST_P(ImportedGradient, AgreesWithFiniteDifferences) {
  const Graph graph = imported(GetParam());
  Values values;
  for (const GraphInput& input : graph.inputs())
    values[input.name] = testing::uniform(input.name, graph.type(input.value).shape, -0.9, 0.9).cast(DType::f64);
  const Values grads = gradients_of(graph, values);
  constexpr double kStep = 1e-5;
  for (const GraphInput& input : graph.inputs()) {
    const Tensor& got = grads.at("d" + input.name);
    for (std::int64_t i = 0; i < got.elements(); ++i) {
      const auto moved = [&](double by) {
        Values other = values;
        other[input.name].mutable_values<double>()[static_cast<std::size_t>(i)] += by;
        return loss_of(graph, other);
      };
      EXPECT_NEAR(got.as_double(i), (moved(kStep) - moved(-kStep)) / (2 * kStep), 2e-6) << input.name << " " << i;
    }
  }
}

std::vector<NodeCase> node_cases() {
  const std::int64_t one = 1, two = 2;
  return {
      {"Attention", {{1, 4, 3, 2}, {1, 2, 4, 2}, {1, 2, 4, 3}, {3, 4}}, {{"is_causal", one}, {"softcap", 2.0}}},
      {"Attention",
       {{2, 3, 4}, {2, 3, 4}, {2, 3, 4}},
       {{"q_num_heads", two}, {"kv_num_heads", two}, {"left_window_size", one}}},
      {"RotaryEmbedding", {{1, 2, 2, 4}, {1, 2, 2}, {1, 2, 2}}, {{"interleaved", one}}},
      {"LinearAttention",
       {{1, 3, 4}, {1, 3, 2}, {1, 3, 2}, {}, {1, 3, 1}, {1, 3, 1}},
       {{"q_num_heads", two}, {"kv_num_heads", one}}},
      {"CausalConvWithState", {{1, 2, 4}, {2, 1, 3}, {2}}, {{"activation", std::string("silu")}}},
      {"GridSample", {{1, 2, 3, 3}, {1, 2, 2, 2}}},
      {"GridSample",
       {{1, 1, 4, 3}, {1, 2, 2, 2}},
       {{"mode", std::string("cubic")}, {"padding_mode", std::string("border")}}},
      {"GridSample",
       {{1, 1, 3, 3}, {1, 2, 2, 2}},
       {{"padding_mode", std::string("reflection")}, {"align_corners", one}}},
      {"Col2Im",
       {{1, 8, 4}, {2}, {2}},
       {},
       {{1, Tensor::from<std::int64_t>({2}, {3, 3})}, {2, Tensor::from<std::int64_t>({2}, {2, 2})}}},
      {"DFT", {{1, 5, 2}}},
      {"CumProd", {{2, 5}, {}}, {}, {{1, Tensor::scalar<std::int64_t>(1)}}},
      {"SwiGLU", {{2, 3}, {2, 3}}},
  };
}

INSTANTIATE_TEST_SUITE_P(Operators, ImportedGradient, ::testing::ValuesIn(node_cases()),
                         [](const auto& one) { return one.param.op + std::to_string(one.index); });

TEST(Attention, AQueryThatMayAttendToNothingGivesZerosAndAFiniteGradient) {
  const double out = -std::numeric_limits<double>::infinity();
  const Graph graph = imported({"Attention",
                                {{1, 1, 2, 2}, {1, 1, 2, 2}, {1, 1, 2, 2}, {2, 2}},
                                {},
                                {{3, Tensor::from<double>({2, 2}, {0, out, out, out})}}});
  Values values;
  for (const char* name : {"a", "b", "c"}) values[name] = testing::uniform(name, {1, 1, 2, 2}, -1, 1).cast(DType::f64);
  const Tensor y = interpret(graph, values).at("y");
  EXPECT_EQ(y.as_double(0), values["c"].as_double(0));
  EXPECT_EQ(y.as_double(2), 0);
  EXPECT_EQ(y.as_double(3), 0);
  for (const auto& [name, grad] : gradients_of(graph, values))
    for (std::int64_t i = 0; i < grad.elements(); ++i) EXPECT_TRUE(std::isfinite(grad.as_double(i))) << name;
}

}  // namespace
}  // namespace weft::onnx
