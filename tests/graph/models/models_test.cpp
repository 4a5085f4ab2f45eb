// Built-in models: shapes, names, settings, and the distributions of fresh weights.
#include "graph/models/models.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/describe.hpp"
#include "graph/onnx/import.hpp"
#include "graph/training/forward.hpp"
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

/// Of the settings that make a model small, those that it has; 10 classes or tokens.
Settings small_settings(const BuiltinModel& builtin) {
  const Settings sizes = {{"classes", "10"}, {"vocabulary", "10"}, {"image", "32"}, {"patch", "16"},
                          {"width", "8"},    {"widths", "2,4,8"},  {"heads", "2"},  {"layers", "2"},
                          {"sequence", "6"}, {"positions", "9"},   {"mlp", "16"},   {"intermediate", "16"}};
  Settings given;
  for (const ModelSetting& setting : builtin.settings)
    if (sizes.contains(setting.name)) given[setting.name] = sizes.at(setting.name);
  if (builtin.name == "mobilenet_v2") given["width"] = "0.25";
  return given;
}

TEST(Models, EachListedModelTakesInputAndReturnsOutputForAnyBatch) {
  for (const BuiltinModel& builtin : builtin_models()) {
    const Model model = imported(builtin.name, small_settings(builtin), 3);
    ASSERT_NE(model.forward.find_input("input"), kNone) << builtin.name;
    Shape output{3, 10};
    if (builtin.name == "unet") output = {3, 10, 32, 32};
    if (builtin.name == "lstm" || builtin.name == "bert" || builtin.name == "gpt2") output = {3, 6, 10};
    EXPECT_EQ(model.forward.type(model.forward.find_output("output")).shape, output) << builtin.name;
  }
}

TEST(Models, ParameterCountsAreThoseOfTorchvision) {
  EXPECT_EQ(onnx::describe_model(build_model("resnet18")).parameter_count, 11689512);
  EXPECT_EQ(onnx::describe_model(build_model("resnet50")).parameter_count, 25557032);
  EXPECT_EQ(onnx::describe_model(build_model("mobilenet_v2")).parameter_count, 3504872);
  EXPECT_EQ(onnx::describe_model(build_model("lenet")).parameter_count, 421642);
}

// Counted at two layers, of which each further one adds the same, and where there are words, at ten of them.
TEST(Models, ParameterCountsOfTransformersAreThoseOfTheirOriginals) {
  const auto count = [](const char* name, Settings settings) {
    const auto of = [&](const char* layers) {
      settings["layers"] = layers;
      return onnx::describe_model(build_model(name, settings)).parameter_count;
    };
    return of("1") + 11 * (of("2") - of("1"));
  };
  EXPECT_EQ(count("gpt2", {{"vocabulary", "10"}}) + (50257 - 10) * 768, 124439808);
  EXPECT_EQ(count("bert", {{"vocabulary", "10"}}) + (30522 - 10) * (768 + 1), 109514298);
  EXPECT_EQ(count("vit", {}), 86567656);
}

/// Outputs by the interpreter, the model's own weights as arguments.
Tensor output_of(const Model& model, const Tensor& input) {
  std::map<std::string, Tensor> arguments = {{"input", input}};
  for (const ModelState& state : model.states) arguments[state.name] = state.initial.value();
  return interpret(inference_graph(model.forward), arguments).at("output");
}

Tensor tokens(std::int64_t changed) {
  Tensor t = Tensor::from<std::int64_t>({1, 6}, {3, 1, 4, 1, 5, 9});
  t.mutable_values<std::int64_t>()[4] = changed;
  return t;
}

/// Which of the 6 tokens' outputs differ when token 4 does.
std::vector<bool> changed_by_token_4(const std::string& name) {
  const auto models = builtin_models();
  const auto about = std::find_if(models.begin(), models.end(), [&](const auto& m) { return m.name == name; });
  const Model model = imported(name, small_settings(*about), 1);
  const Tensor a = output_of(model, tokens(5)), b = output_of(model, tokens(2));
  std::vector<bool> changed(6, false);
  for (std::int64_t i = 0; i < a.elements(); ++i)
    if (a.as_double(i) != b.as_double(i)) changed[static_cast<std::size_t>(i / 10)] = true;
  return changed;
}

TEST(Models, LanguageModelsDoNotSeeLaterTokensAndBertDoes) {
  EXPECT_EQ(changed_by_token_4("gpt2"), (std::vector<bool>{false, false, false, false, true, true}));
  EXPECT_EQ(changed_by_token_4("lstm"), (std::vector<bool>{false, false, false, false, true, true}));
  EXPECT_EQ(changed_by_token_4("bert"), std::vector<bool>(6, true));
}

TEST(Models, SizesThatDoNotFitEachOtherNameTheSetting) {
  EXPECT_THAT(message_of("gpt2", {{"heads", "7"}}), HasSubstr("'heads' is 7; it must divide the width, which is 768"));
  EXPECT_THAT(message_of("bert", {{"sequence", "513"}}), HasSubstr("'sequence' is 513; it must be at most"));
  EXPECT_THAT(message_of("vit", {{"patch", "15"}}), HasSubstr("'image' is 224; it must be a multiple of 'patch'"));
  EXPECT_THAT(message_of("unet", {{"image", "100"}}), HasSubstr("'image' is 100; it must be a multiple of 8"));
  EXPECT_THAT(message_of("gpt2", {{"width", "65536"}, {"heads", "1"}}), HasSubstr("larger than the 2 GiB"));
  EXPECT_THAT(message_of("vit", {{"width", "65536"}, {"heads", "1"}}), HasSubstr("larger than the 2 GiB"));
  EXPECT_THAT(message_of("mobilenet_v2", {{"dropout", "1"}}), HasSubstr("'dropout' is '1'; allowed are numbers"));
  EXPECT_THAT(message_of("mobilenet_v2", {{"width", "nan"}}), HasSubstr("'width' is 'nan'"));
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
    EXPECT_TRUE(model.states[i].initial.value().identical(again.states[i].initial.value()));
    EXPECT_FALSE(model.states[i].initial.value().identical(other.states[i].initial.value()));
    if (model.states[i].name != "f1.weight") continue;
    const double bound = 1 / std::sqrt(64.0 * 7 * 7);
    double square = 0, largest = 0;
    const Tensor weights = model.states[i].initial.value();
    for (const float v : weights.values<float>()) {
      square += static_cast<double>(v) * v;
      largest = std::max(largest, std::abs(static_cast<double>(v)));
    }
    EXPECT_LE(largest, bound);
    EXPECT_NEAR(square / static_cast<double>(model.states[i].initial.shape().elements()), bound * bound / 3,
                0.01 * bound * bound);
  }
}

TEST(Models, AnMlpComputesItsLayers) {
  const Model model = imported("mlp", {{"inputs", "1,2"}, {"hidden", "2"}, {"classes", "1"}}, 1);
  std::map<std::string, Tensor> arguments = {{"input", Tensor::from<float>({1, 1, 2}, {1, -2})}};
  for (const ModelState& state : model.states) arguments[state.name] = state.initial.value();
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
