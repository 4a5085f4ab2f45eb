// Models that would nest, multiply or grow without end are imported or refused in bounded time and memory.
#include "tests/graph/onnx/hostile_models.hpp"

#include <chrono>
#include <map>

#include "tests/support/patience.hpp"

namespace weft::onnx {
namespace {

using namespace hostile;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// If nodes inside If nodes, `depth` of them.
void nest(messages::GraphProto& graph, int depth) {
  const std::string result = "r" + std::to_string(depth);
  if (depth == 0) {
    add_node(graph, "Identity", {"x"}, {result});
  } else {
    auto& node = add_node(graph, "If", {"c"}, {result});
    for (const char* branch : {"then_branch", "else_branch"}) {
      auto& attribute = *node.add_attribute();
      attribute.set_name(branch);
      attribute.set_type(messages::AttributeProto::GRAPH);
      nest(*attribute.mutable_g(), branch[0] == 't' ? depth - 1 : 0);
      if (branch[0] == 'e') attribute.mutable_g()->mutable_output(0)->set_name("r0");
    }
  }
  if (graph.output_size() == 0) graph.add_output()->set_name(result);
}

TEST(HostileModel, SubgraphsNestToALimit) {
  for (const auto& [depth, message] :
       std::map<int, const char*>{{20, "nested more than 16 deep"}, {200, "nests far too deep"}}) {
    auto model = frame();
    model.mutable_graph()->clear_output();
    auto& condition = add_initializer(*model.mutable_graph(), "c", {});
    condition.set_data_type(messages::TensorProto::BOOL);
    condition.add_int32_data(1);
    nest(*model.mutable_graph(), depth);
    EXPECT_THAT(refusal(model), HasSubstr(message)) << depth;
  }
}

messages::FunctionProto& add_function(messages::ModelProto& model, const std::string& name) {
  if (model.functions_size() == 0) {
    auto& import = *model.add_opset_import();
    import.set_domain("local");
    import.set_version(1);
  }
  auto& function = *model.add_functions();
  function.set_name(name);
  function.set_domain("local");
  function.add_input("a");
  function.add_output("b");
  return function;
}

void add_function_node(messages::FunctionProto& function, const std::string& op, const std::string& from,
                       const std::string& to, bool local) {
  auto& node = *function.add_node();
  node.set_op_type(op);
  if (local) node.set_domain("local");
  node.add_input(from);
  node.add_output(to);
}

TEST(HostileModel, AFunctionThatCallsItselfIsRefused) {
  auto model = frame();
  add_function_node(add_function(model, "self"), "self", "a", "b", true);
  add_node(*model.mutable_graph(), "self", {"x"}, {"y"}).set_domain("local");
  EXPECT_THAT(refusal(model), HasSubstr("a function that calls itself?"));
}

TEST(HostileModel, FunctionsThatMultiplyStopAtTheLimitOfNodes) {
  auto model = frame();
  for (int level = 0; level < 12; ++level) {
    auto& function = add_function(model, "f" + std::to_string(level));
    const bool last = level == 11;
    for (int i = 0; i < 10; ++i)
      add_function_node(function, last ? "Identity" : "f" + std::to_string(level + 1),
                        i == 0 ? "a" : "t" + std::to_string(i), i == 9 ? "b" : "t" + std::to_string(i + 1), !last);
  }
  add_node(*model.mutable_graph(), "f0", {"x"}, {"y"}).set_domain("local");
  EXPECT_THAT(refusal(model), HasSubstr("more than 1000000"));
}

TEST(HostileModel, FunctionsThatMultiplyAConstantStopAtTheLimitOfBytes) {
  auto model = frame();
  auto& function = add_function(model, "big");
  auto& constant = *function.add_node();
  constant.set_op_type("Constant");
  constant.add_output("k");
  auto& value = *constant.add_attribute();
  value.set_name("value");
  value.set_type(messages::AttributeProto::TENSOR);
  value.mutable_t()->set_data_type(messages::TensorProto::UINT8);
  value.mutable_t()->add_dims(100'000'000);
  value.mutable_t()->set_raw_data(std::string(100'000'000, '\1'));
  add_function_node(function, "Identity", "a", "b", false);
  for (int i = 0; i < 400; ++i)
    add_node(*model.mutable_graph(), "big", {i == 0 ? "x" : "t" + std::to_string(i)},
             {i == 399 ? "y" : "t" + std::to_string(i + 1)})
        .set_domain("local");
  within_memory(3000, [&] { EXPECT_THAT(refusal(model), HasSubstr("expand to more than 1073741824 bytes")); });
}

/// A loop of `trips` iterations whose body adds its carried value to `addend`.
void add_loop(messages::GraphProto& graph, const std::string& trips, const std::string& addend,
              const std::function<void(messages::GraphProto&)>& more) {
  auto& loop = add_node(graph, "Loop", {trips, "", "x"}, {"y"});
  auto& attribute = *loop.add_attribute();
  attribute.set_name("body");
  attribute.set_type(messages::AttributeProto::GRAPH);
  auto& body = *attribute.mutable_g();
  for (const char* name : {"i", "c", "v"}) body.add_input()->set_name(name);
  more(body);
  add_node(body, "Identity", {"c"}, {"go_on"});
  add_node(body, "Add", {"v", addend}, {"next"});
  for (const char* name : {"go_on", "next"}) body.add_output()->set_name(name);
}

TEST(HostileModel, ALoopThatNeverEndsIsRefused) {
  for (const bool counted : {false, true}) {
    auto model = frame();
    add_initializer(*model.mutable_graph(), "n", {}, {INT64_MAX});
    add_loop(*model.mutable_graph(), counted ? "n" : "", "v", [](auto&) {});
    EXPECT_THAT(refusal(model), AllOf(HasSubstr("Loop node 'the_Loop'"), HasSubstr("more than 10000 times")));
  }
}

TEST(HostileModel, WhatALoopsBodyHoldsIsHeldOnce) {
  auto model = frame({250'000});
  add_initializer(*model.mutable_graph(), "n", {}, {9000});
  add_loop(*model.mutable_graph(), "n", "w", [](messages::GraphProto& body) {
    auto& w = *body.add_initializer();
    w.set_name("w");
    w.set_data_type(messages::TensorProto::FLOAT);
    w.add_dims(250'000);
    w.set_raw_data(std::string(1'000'000, '\1'));
  });
  within_memory(2000, [&] { EXPECT_EQ(refusal(model), ""); });
}

TEST(HostileModel, ArithmeticOnImportIsBounded) {
  auto model = frame();
  auto& graph = *model.mutable_graph();
  add_initializer(graph, "extent", {1}, {4'000'000});
  add_initializer(graph, "zero", {1}, {0});
  add_node(graph, "ConstantOfShape", {"extent"}, {"floats"});
  auto& cast = add_node(graph, "Cast", {"floats"}, {"t0"});
  cast.add_attribute()->set_name("to");
  cast.mutable_attribute(0)->set_type(messages::AttributeProto::INT);
  cast.mutable_attribute(0)->set_i(messages::TensorProto::INT64);
  for (int i = 0; i < 1000; ++i) add_node(graph, "Neg", {"t" + std::to_string(i)}, {"t" + std::to_string(i + 1)});
  add_node(graph, "Gather", {"t1000", "zero"}, {"shape"});
  add_node(graph, "Expand", {"x", "shape"}, {"y"});
  within_memory(
      2000, [&] { EXPECT_THAT(refusal(model), AllOf(HasSubstr("Expand node"), HasSubstr("from too many numbers"))); });
}

TEST(HostileModel, FoldingOfConstantsIsBounded) {
  auto model = frame({1});
  auto& graph = *model.mutable_graph();
  auto& w = *graph.add_initializer();
  w.set_name("t0");
  w.set_data_type(messages::TensorProto::FLOAT);
  w.add_dims(4'000'000);
  w.set_raw_data(std::string(16'000'000, '\1'));
  for (int i = 0; i < 500; ++i) add_node(graph, "Neg", {"t" + std::to_string(i)}, {"t" + std::to_string(i + 1)});
  add_node(graph, "Add", {"x", "t500"}, {"y"});
  within_memory(2000, [&] { EXPECT_EQ(refusal(model), ""); });
}

TEST(HostileModel, ResultsOfTerabytesTakeNoMemoryOnImport) {
  const auto sized = [](const std::string& op, const Dims& numbers) {
    auto model = frame({1, 1, 2, 3});
    add_initializer(*model.mutable_graph(), "n", {static_cast<std::int64_t>(numbers.size())}, numbers);
    std::vector<std::string> inputs = {"x", "n"};
    if (op == "Resize") inputs = {"x", "", "", "n"};
    if (op == "ConstantOfShape") inputs = {"n"};
    add_node(*model.mutable_graph(), op, inputs, {"y"});
    return model;
  };
  const std::int64_t million = 1'000'000;
  within_memory(1024, [&] {
    EXPECT_EQ(refusal(sized("Expand", {million, million, 2, 3})), "");
    EXPECT_EQ(refusal(sized("Tile", {1, 1, million, million})), "");
    EXPECT_EQ(refusal(sized("Pad", {0, 0, million, million, 0, 0, million, million})), "");
    EXPECT_EQ(refusal(sized("ConstantOfShape", {million, million})), "");
    EXPECT_THAT(refusal(sized("Resize", {1, 1, 1000 * million, 1000})), HasSubstr("cannot be resized to 1000000000"));
    EXPECT_THAT(refusal(sized("Expand", {INT64_MAX, INT64_MAX, 2, 3})), HasSubstr("the_Expand"));
    EXPECT_THAT(refusal(sized("Tile", {1, INT64_MAX, INT64_MAX, 1})), HasSubstr("the_Tile"));
    EXPECT_THAT(refusal(sized("Pad", {0, 0, INT64_MAX, 0, 0, 0, INT64_MAX, 0})), HasSubstr("the_Pad"));
    EXPECT_THAT(refusal(sized("ConstantOfShape", {-1})), HasSubstr("negative extent"));
  });
}

/// A shape that follows from a product, or a window, of small constants by more steps than anybody has time for.
TEST(HostileModel, AShapeIsNotComputedByEndlessWork) {
  const auto start = std::chrono::steady_clock::now();
  for (const bool product : {true, false}) {
    auto model = frame();
    auto& graph = *model.mutable_graph();
    add_initializer(graph, "one", {1}, {1});
    if (product) {
      add_initializer(graph, "tall", {2}, {2000, 2000});
      add_initializer(graph, "wide", {2}, {2000, 2000});
      add_node(graph, "Expand", {"one", "tall"}, {"a"});
      add_node(graph, "Expand", {"one", "wide"}, {"b"});
      add_node(graph, "MatMul", {"a", "b"}, {"many"});
    } else {
      add_initializer(graph, "image", {4}, {1, 1, 1000, 1000});
      add_node(graph, "Expand", {"one", "image"}, {"a"});
      add_node(graph, "Cast", {"a"}, {"f"}).add_attribute()->CopyFrom([] {
        messages::AttributeProto to;
        to.set_name("to");
        to.set_type(messages::AttributeProto::INT);
        to.set_i(messages::TensorProto::FLOAT);
        return to;
      }());
      auto& pool = add_node(graph, "MaxPool", {"f"}, {"many"});
      for (const auto& [name, values] :
           std::map<std::string, Dims>{{"kernel_shape", {999, 999}}, {"pads", {499, 499, 499, 499}}}) {
        auto& attribute = *pool.add_attribute();
        attribute.set_name(name);
        attribute.set_type(messages::AttributeProto::INTS);
        for (const std::int64_t v : values) attribute.add_ints(v);
      }
    }
    add_node(graph, "NonZero", {"many"}, {"places"});
    add_node(graph, "Shape", {"places"}, {"shape"});
    add_node(graph, "Expand", {"x", "shape"}, {"y"});
    EXPECT_THAT(refusal(model), HasSubstr("the_NonZero")) << product;
  }
  // Hours if it were computed; a bound, not a measurement.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30 * testing::kPatience));
}

/// `count` nodes in a row.
messages::ModelProto chain(int count) {
  auto model = frame();
  for (int i = 0; i < count; ++i) {
    auto& node = *model.mutable_graph()->add_node();
    node.set_op_type("Relu");
    node.add_input(i == 0 ? "x" : "t" + std::to_string(i));
    node.add_output(i == count - 1 ? "y" : "t" + std::to_string(i + 1));
  }
  return model;
}

TEST(HostileModel, AMillionNodesAreTakenInBoundedMemory) {
  const auto model = chain(1'000'000);
  within_memory(4096, [&] { EXPECT_EQ(refusal(model), ""); });
}

TEST(HostileModel, MoreNodesThanTheLimitAreRefused) {
  const std::string bytes = chain(1001).SerializeAsString();
  ModelLimits limits;
  limits.nodes = 1000;
  try {
    parse_model(std::as_bytes(std::span(bytes)), "long.onnx", limits);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("more than 1000 nodes, subgraphs included; split the model"));
  }
}

/// Each bias would look for the layer before it along all other biases.
TEST(HostileModel, VerdictsOnManyInitializersTakeBoundedTime) {
  auto model = frame();
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const std::string bias = "b" + std::to_string(i);
    auto& tensor = *model.mutable_graph()->add_initializer();
    tensor.set_name(bias);
    tensor.set_data_type(messages::TensorProto::FLOAT);
    tensor.add_dims(3);
    for (int e = 0; e < 3; ++e) tensor.add_float_data(static_cast<float>(i + e));
    add_node(*model.mutable_graph(), "Add", {i == 0 ? "x" : "t" + std::to_string(i), bias},
             {i == kCount - 1 ? "y" : "t" + std::to_string(i + 1)});
  }
  const std::string bytes = model.SerializeAsString();
  const auto start = std::chrono::steady_clock::now();
  const auto verdicts = judge_initializers(parse_model(std::as_bytes(std::span(bytes)), "biases.onnx"));
  EXPECT_EQ(verdicts.size(), static_cast<std::size_t>(kCount));
  // Minutes or hours if it grew with the square; a bound, not a measurement.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(100 * testing::kPatience));
}

}  // namespace
}  // namespace weft::onnx
