// weft model: writes a built-in architecture with fresh weights.
#include "fmt/format.h"
#include "graph/models/models.hpp"
#include "src/cli/verbs.hpp"
#include "src/files/output_path.hpp"

namespace weft::cli {
namespace {

std::string architectures() {
  std::string out = "Architectures, and their settings with defaults:\n";
  for (const auto& model : builtin_models()) {
    out += fmt::format("  {:13} {}\n", model.name, model.summary);
    for (const auto& setting : model.settings)
      out += fmt::format("      {}={}  {}\n", setting.name, setting.value, setting.meaning);
  }
  out.pop_back();
  return out;
}

}  // namespace

ExitCode run_model(const Arguments& arguments) {
  Options options("model", "Writes a built-in architecture with fresh weights as an ONNX model.");
  options.argument("NAME", "which architecture")
      .required_value("output,o", "F.onnx", "the file to write")
      .list("set", "KEY=VALUE", "a setting of the architecture; may be repeated")
      .note(architectures())
      .example("weft model lenet -o lenet.onnx")
      .example("weft model resnet18 -o resnet18.onnx --set classes=10")
      .example("weft model gpt2 -o small.onnx --set layers=6 --set width=384 --set heads=6 --set sequence=256");
  if (!options.parse(arguments)) return ExitCode::ok;
  std::map<std::string, std::string> settings;
  for (const auto& item : options.texts("set")) {
    const auto equals = item.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UserError(fmt::format("model: --set {}: expected KEY=VALUE, as in --set classes=10", item));
    if (!settings.emplace(item.substr(0, equals), item.substr(equals + 1)).second)
      throw UserError(fmt::format("model: --set {} is there twice", item.substr(0, equals)));
  }
  write_builtin_model(options.text("NAME"), settings, output_path(options.text("output")));
  fmt::print("{}: {} with fresh weights\n", options.text("output"), options.text("NAME"));
  return ExitCode::ok;
}

}  // namespace weft::cli
