// Built-in models: shapes, names, settings, and the distributions of fresh weights.
#include "graph/models/models.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/describe.hpp"
#include "graph/onnx/import.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using ::testing::HasSubstr;
using Settings = std::map<std::string, std::string>;

std::string message_of(const std::string& name, const Settings& settings) {
  try {
    build_model(name, settings);
  } catch (const UserError& e) {
    return e.what();
  }
  return "no UserError";
}

Model imported(const std::string& name, const Settings& settings, std::int64_t batch) {
  return onnx::import_model(build_model(name, settings), {.symbols = {{"N", batch}}});
}

TEST(Models, EachListedModelTakesInputAndReturnsOutputForAnyBatch) {
  for (const BuiltinModel& builtin : builtin_models()) {
    const Settings small =
        builtin.name.starts_with("resnet") ? Settings{{"width", "4"}, {"image", "32"}, {"classes", "10"}} : Settings{};
    const Model model = imported(builtin.name, small, 3);
    ASSERT_NE(model.forward.find_input("input"), kNone) << builtin.name;
    EXPECT_EQ(model.forward.type(model.forward.find_output("output")).shape, (Shape{3, 10})) << builtin.name;
  }
}

TEST(Models, ParameterCountsAreThoseOfTorchvision) {
  EXPECT_EQ(onnx::describe_model(build_model("resnet18")).parameter_count, 11689512);
  EXPECT_EQ(onnx::describe_model(build_model("resnet50")).parameter_count, 25557032);
  EXPECT_EQ(onnx::describe_model(build_model("lenet")).parameter_count, 421642);
}

TEST(Models, InitializersAreNamedAsInTorchvision) {
  std::map<std::string, onnx::InitializerKind> kinds;
  for (const auto& v : onnx::judge_initializers(build_model("resnet18", {{"width", "4"}}))) kinds[v.name] = v.kind;
  EXPECT_EQ(kinds.at("conv1.weight"), onnx::InitializerKind::parameter);
  EXPECT_EQ(kinds.at("layer1.0.bn1.running_mean"), onnx::InitializerKind::state);
  EXPECT_EQ(kinds.at("layer2.0.downsample.1.bias"), onnx::InitializerKind::parameter);
  EXPECT_EQ(kinds.at("fc.weight"), onnx::InitializerKind::parameter);
}

TEST(Models, WeightsFollowThePyTorchDistributionsAndTheSeed) {
  const Model model = imported("lenet", {}, 1), again = imported("lenet", {}, 1),
              other = imported("lenet", {{"seed", "1"}}, 1);
  for (std::size_t i = 0; i < model.states.size(); ++i) {
    EXPECT_TRUE(model.states[i].initial.identical(again.states[i].initial));
    EXPECT_FALSE(model.states[i].initial.identical(other.states[i].initial));
    if (model.states[i].name != "f1.weight") continue;
    const double bound = 1 / std::sqrt(64.0 * 7 * 7);
    double square = 0, largest = 0;
    for (const float v : model.states[i].initial.values<float>()) {
      square += static_cast<double>(v) * v;
      largest = std::max(largest, std::abs(static_cast<double>(v)));
    }
    EXPECT_LE(largest, bound);
    EXPECT_NEAR(square / static_cast<double>(model.states[i].initial.elements()), bound * bound / 3,
                0.01 * bound * bound);
  }
}

TEST(Models, AnMlpComputesItsLayers) {
  const Model model = imported("mlp", {{"inputs", "1,2"}, {"hidden", "2"}, {"classes", "1"}}, 1);
  std::map<std::string, Tensor> arguments = {{"input", Tensor::from<float>({1, 1, 2}, {1, -2})}};
  for (const ModelState& state : model.states) arguments[state.name] = state.initial;
  const auto at = [&](const char* name, int i) { return arguments.at(name).as_double(i); };
  const double h0 = std::max(0.0, at("fc1.weight", 0) - 2 * at("fc1.weight", 1) + at("fc1.bias", 0));
  const double h1 = std::max(0.0, at("fc1.weight", 2) - 2 * at("fc1.weight", 3) + at("fc1.bias", 1));
  const double y = h0 * at("fc2.weight", 0) + h1 * at("fc2.weight", 1) + at("fc2.bias", 0);
  EXPECT_NEAR(interpret(model.forward, arguments).at("output").as_double(0), y, 1e-6);
}

TEST(Models, MistypedNamesAreAnsweredWithTheNearest) {
  EXPECT_THAT(message_of("resnet81", {}), HasSubstr("did you mean 'resnet18'"));
  EXPECT_THAT(message_of("resnet18", {{"clases", "5"}}), HasSubstr("did you mean 'classes'"));
}

TEST(Models, ValuesOutOfRangeNameTheSetting) {
  for (const char* value : {"", "0", "-3", "x", "3x", "1,2", "99999999999999999999"})
    EXPECT_THAT(message_of("lenet", {{"classes", value}}), HasSubstr("'classes'")) << value;
}

}  // namespace
}  // namespace weft
