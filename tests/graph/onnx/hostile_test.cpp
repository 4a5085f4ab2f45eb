// Models made to do harm: each is refused with what is wrong, where, and the limit, in bounded time and memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>
#include <sys/resource.h>

#include <chrono>
#include <functional>
#include <map>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/import.hpp"
#include "tests/support/patience.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace messages = ::onnx;

void add_dims(messages::TensorShapeProto& shape, const Dims& extents) {
  for (const std::int64_t e : extents) shape.add_dim()->set_dim_value(e);
}

/// x f32[2, 3] goes in, y comes out; what lies between is each test's.
messages::ModelProto frame(const Dims& extents = {2, 3}) {
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

messages::NodeProto& add_node(messages::GraphProto& graph, const std::string& op,
                              const std::vector<std::string>& inputs, const std::vector<std::string>& outputs) {
  auto& node = *graph.add_node();
  node.set_op_type(op);
  node.set_name("the_" + op);
  for (const auto& name : inputs) node.add_input(name);
  for (const auto& name : outputs) node.add_output(name);
  return node;
}

messages::TensorProto& add_initializer(messages::GraphProto& graph, const std::string& name, const Dims& extents,
                                       const std::vector<std::int64_t>& values = {}) {
  auto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(messages::TensorProto::INT64);
  for (const std::int64_t e : extents) tensor.add_dims(e);
  for (const std::int64_t v : values) tensor.add_int64_data(v);
  return tensor;
}

/// What the importer says to it; "" when it takes it.
std::string refusal(const messages::ModelProto& model) {
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
void within_memory(std::int64_t megabytes, const std::function<void()>& what) {
  if (testing::kPatience != 1) return what();  // sanitizers map far more than they use
  rlimit former{};
  getrlimit(RLIMIT_AS, &former);
  const rlimit tight{static_cast<rlim_t>(megabytes) << 20, former.rlim_max};
  setrlimit(RLIMIT_AS, &tight);
  what();
  setrlimit(RLIMIT_AS, &former);
}

TEST(HostileModel, ACycleIsShownByItsNodes) {
  auto model = frame();
  add_node(*model.mutable_graph(), "Relu", {"b"}, {"a"});
  add_node(*model.mutable_graph(), "Tanh", {"a"}, {"b"});
  add_node(*model.mutable_graph(), "Add", {"x", "b"}, {"y"});
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("hostile.onnx"), HasSubstr("wait for each other's results"),
                                    HasSubstr("Relu node 'the_Relu'"), HasSubstr("Tanh node 'the_Tanh'")));
}

TEST(HostileModel, ANodeMayNotReadItsOwnResult) {
  auto model = frame();
  add_node(*model.mutable_graph(), "Add", {"x", "y"}, {"y"});
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("wait for each other's results"), HasSubstr("the_Add")));
}

TEST(HostileModel, ATruncatedFileSaysSo) {
  auto model = frame();
  add_node(*model.mutable_graph(), "Relu", {"x"}, {"y"});
  const std::string bytes = model.SerializeAsString();
  try {
    parse_model(std::as_bytes(std::span(bytes)).first(bytes.size() - 3), "cut.onnx");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), AllOf(HasSubstr("cut.onnx"), HasSubstr("damaged"), HasSubstr("Copy or export it again")));
    EXPECT_EQ(e.exit_code(), ExitCode::user);
  }
}

TEST(HostileModel, ShapesOverflow) {
  EXPECT_THAT(refusal([] {
                auto model = frame({std::int64_t{1} << 40, std::int64_t{1} << 40});
                add_node(*model.mutable_graph(), "Relu", {"x"}, {"y"});
                return model;
              }()),
              AllOf(HasSubstr("[1099511627776, 1099511627776]"), HasSubstr("more than 2^48 elements")));
  EXPECT_THROW(Shape({0, std::int64_t{1} << 40, std::int64_t{1} << 40}), UserError);  // its strides
  auto model = frame();
  add_initializer(*model.mutable_graph(), "w", {std::int64_t{1} << 62, 4});
  add_node(*model.mutable_graph(), "Add", {"x", "w"}, {"y"});
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("initializer 'w'"), HasSubstr("more than 2^48 elements")));
}

TEST(HostileModel, InitializersThatDoNotFitTheirDataAreRefusedBeforeMemoryIsTaken) {
  struct Bad {
    std::function<void(messages::TensorProto&)> damage;
    const char* message;
  };
  const Bad bads[] = {
      {[](auto& t) { t.add_dims(-2); }, "shape [-2] has a negative extent"},
      {[](auto& t) { t.add_dims(1'000'000'000'000); }, "needs 1000000000000 elements, 0 are there"},
      {[](auto& t) { t.add_dims(3), t.set_raw_data("12345678"); }, "needs 24 bytes, 8 are there"},
      {[](auto& t) { t.add_dims(2), t.add_int64_data(1); }, "needs 2 elements, 1 are there"},
      {[](auto& t) { t.add_dims(1), t.set_data_type(99); }, "type 99 is not one that Weft computes with"},
      {[](auto& t) { t.set_data_type(messages::TensorProto::COMPLEX64); }, "COMPLEX64 is not one that Weft computes"},
      {[](auto& t) { t.mutable_segment()->set_begin(0); }, "segmented tensors are not supported"},
      {[](auto& t) {
         for (int i = 0; i < 100; ++i) t.add_dims(1);
       },
       "more than 64 dimensions"},
      {[](auto& t) { t.add_dims(1), t.set_data_location(messages::TensorProto::EXTERNAL); }, "external data"}};
  for (const Bad& bad : bads) {
    auto model = frame();
    bad.damage(add_initializer(*model.mutable_graph(), "w", {}));
    add_node(*model.mutable_graph(), "Add", {"x", "w"}, {"y"});
    within_memory(1024,
                  [&] { EXPECT_THAT(refusal(model), AllOf(HasSubstr("initializer 'w'"), HasSubstr(bad.message))); });
  }
}

TEST(HostileModel, NamesAreMadeOnceAndReadFromSomewhere) {
  auto twice = frame();
  add_node(*twice.mutable_graph(), "Relu", {"x"}, {"y"});
  add_node(*twice.mutable_graph(), "Tanh", {"x"}, {"y"});
  EXPECT_THAT(refusal(twice), AllOf(HasSubstr("Tanh node 'the_Tanh'"), HasSubstr("makes 'y', which is made already")));
  auto absent = frame();
  add_node(*absent.mutable_graph(), "Add", {"x", "weight"}, {"y"});
  EXPECT_THAT(refusal(absent), AllOf(HasSubstr("Add node 'the_Add'"), HasSubstr("reads 'weight', which no node")));
  auto initializers = frame();
  for (int i = 0; i < 2; ++i) add_initializer(*initializers.mutable_graph(), "w", {1}, {i});
  EXPECT_THAT(refusal(initializers), HasSubstr("two initializers are named 'w'"));
  auto unmade = frame();
  EXPECT_THAT(refusal(unmade), HasSubstr("graph output 'y' is made by no node"));
}

TEST(HostileModel, ForeignOperatorsAndOperatorSetsAreNamed) {
  auto domain = frame();
  add_node(*domain.mutable_graph(), "Foo", {"x"}, {"y"}).set_domain("com.example");
  EXPECT_THAT(refusal(domain), AllOf(HasSubstr("com.example.Foo node 'the_Foo'"), HasSubstr("not supported")));
  for (const std::int64_t version : {std::int64_t{-3}, std::int64_t{0}, std::int64_t{999}, INT64_MAX}) {
    auto model = frame();
    model.mutable_opset_import(0)->set_version(version);
    add_node(*model.mutable_graph(), "Relu", {"x"}, {"y"});
    EXPECT_THAT(refusal(model), AllOf(HasSubstr("Relu node 'the_Relu'"), HasSubstr(std::to_string(version))));
  }
}

TEST(HostileModel, AttributesOfTheWrongTypeAreNamed) {
  const auto with = [](const std::string& op, const std::string& name, auto&& fill) {
    auto model = frame();
    auto& node = add_node(*model.mutable_graph(), op, {"x"}, {"y"});
    node.add_attribute()->set_name(name);
    fill(*node.mutable_attribute(0));
    return refusal(model);
  };
  const auto text = [](messages::AttributeProto& a) {
    a.set_type(messages::AttributeProto::STRING);
    a.set_s("one");
  };
  EXPECT_THAT(with("Softmax", "axis", text), HasSubstr("attribute 'axis' should be an integer"));
  EXPECT_THAT(with("LeakyRelu", "alpha", text), HasSubstr("attribute 'alpha' should be a number"));
  EXPECT_NE(with("Transpose", "perm", text), "");
  EXPECT_THAT(with("Cast", "to",
                   [](auto& a) {
                     a.set_type(messages::AttributeProto::INT);
                     a.set_i(77);
                   }),
              HasSubstr("type 77"));
}

TEST(HostileModel, BiasesOfRecurrentLayersWithoutDimensionsAreRefused) {
  auto model = frame({4, 2, 3});
  const auto weights = [&](const std::string& name, const Dims& extents) {
    auto& w = add_initializer(*model.mutable_graph(), name, extents);
    w.set_data_type(messages::TensorProto::FLOAT);
    for (std::int64_t i = 0; i < Shape(extents).elements(); ++i) w.add_float_data(1);
  };
  weights("w", {1, 20, 3}), weights("r", {1, 20, 5}), weights("b", {});
  auto& node = add_node(*model.mutable_graph(), "LSTM", {"x", "w", "r", "b"}, {"y"});
  node.add_attribute()->set_name("hidden_size");
  node.mutable_attribute(0)->set_type(messages::AttributeProto::INT);
  node.mutable_attribute(0)->set_i(5);
  EXPECT_THAT(refusal(model), AllOf(HasSubstr("LSTM node 'the_LSTM'"), HasSubstr("shape [] has too few dimensions")));
}

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
