// Models made to do harm: each is refused with what is wrong, where, and the limit.
#include "tests/graph/onnx/hostile_models.hpp"

#include <map>

namespace weft::onnx {
namespace {

using namespace hostile;
using ::testing::AllOf;
using ::testing::HasSubstr;

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

}  // namespace
}  // namespace weft::onnx
