// The list of built-in models, and how settings are resolved.
#include "graph/models/models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include "graph/models/architectures.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

const std::vector<BuiltinModel>& list() {
  static const ModelSetting kClasses = {"classes", "1000", "number of classes"};
  static const ModelSetting kSeed = {"seed", "0", "seed of the initial weights"};
  static const std::vector<ModelSetting> kResnet = {kClasses,
                                                    {"image", "224", "height and width of the input images, in pixels"},
                                                    {"channels", "3", "channels of the input images"},
                                                    {"width", "64", "channels of the first stage"},
                                                    kSeed};
  static const std::vector<BuiltinModel> kModels = {
      {"mlp",
       "fully connected layers with ReLU between them",
       {{"inputs", "784", "extents of one sample, flattened before the first layer: 784 or 1,28,28"},
        {"hidden", "256,128", "widths of the hidden layers"},
        {"classes", "10", "number of classes"},
        kSeed}},
      {"lenet",
       "LeNet-5 style network for 28x28 images: two convolutions, two fully connected layers",
       {{"classes", "10", "number of classes"}, {"channels", "1", "channels of the input images"}, kSeed}},
      {"resnet18", "residual network of 18 layers (basic blocks)", kResnet},
      {"resnet50", "residual network of 50 layers (bottlenecks, stride on the 3x3 convolution)", kResnet},
  };
  return kModels;
}

/// Levenshtein's distance.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replace});
    }
  }
  return row[b.size()];
}

template <class Entries>
[[noreturn]] void throw_unknown(const char* what, const std::string& name, const Entries& entries) {
  std::string nearest, all;
  for (const auto& entry : entries) {
    if (nearest.empty() || edits(name, entry.name) < edits(name, nearest)) nearest = entry.name;
    all += (all.empty() ? "" : ", ") + entry.name;
  }
  throw UserError(fmt::format("there is no {} '{}'; did you mean '{}'? There are: {}", what, name, nearest, all));
}

const BuiltinModel& find_model(const std::string& name) {
  for (const BuiltinModel& model : list())
    if (model.name == name) return model;
  throw_unknown("built-in model", name, list());
}

models::Settings resolve(const BuiltinModel& model, const std::map<std::string, std::string>& given) {
  std::map<std::string, std::string> values;
  for (const ModelSetting& setting : model.settings) values[setting.name] = setting.value;
  for (const auto& [name, value] : given) {
    const auto it = values.find(name);
    if (it == values.end()) throw_unknown(("setting of " + model.name).c_str(), name, model.settings);
    it->second = value;
  }
  return models::Settings(std::move(values));
}

}  // namespace

const std::vector<BuiltinModel>& builtin_models() { return list(); }

onnx::ModelFile build_model(const std::string& name, const std::map<std::string, std::string>& given) {
  const BuiltinModel& model = find_model(name);
  const models::Settings settings = resolve(model, given);
  models::Network net(name, static_cast<std::uint64_t>(settings.integer("seed", 0, INT64_MAX)));
  if (name == "mlp") models::build_mlp(net, settings);
  if (name == "lenet") models::build_lenet(net, settings);
  if (name == "resnet18") models::build_resnet(net, settings, models::Block::basic, {2, 2, 2, 2});
  if (name == "resnet50") models::build_resnet(net, settings, models::Block::bottleneck, {3, 4, 6, 3});
  return std::move(net).finish();
}

void write_builtin_model(const std::string& name, const std::map<std::string, std::string>& settings,
                         const std::filesystem::path& path) {
  onnx::write_model(build_model(name, settings), path);
}

}  // namespace weft
