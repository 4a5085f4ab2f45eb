// Finding built-in models by name, and resolving their settings.
#include "graph/models/models.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include "graph/models/catalogue.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

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

models::Architecture find_model(const std::string& name) {
  for (const models::Architecture& model : models::catalogue())
    if (model.about.name == name) return model;
  throw_unknown("built-in model", name, builtin_models());
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

std::vector<BuiltinModel> builtin_models() {
  std::vector<BuiltinModel> all;
  for (models::Architecture& model : models::catalogue()) all.push_back(std::move(model.about));
  return all;
}

onnx::ModelFile build_model(const std::string& name, const std::map<std::string, std::string>& given) {
  const models::Architecture model = find_model(name);
  const models::Settings settings = resolve(model.about, given);
  models::Network net(name, static_cast<std::uint64_t>(settings.integer("seed", 0, INT64_MAX)), model.opset);
  model.build(net, settings);
  return std::move(net).finish();
}

void write_builtin_model(const std::string& name, const std::map<std::string, std::string>& settings,
                         const std::filesystem::path& path) {
  onnx::write_model(build_model(name, settings), path);
}

}  // namespace weft
