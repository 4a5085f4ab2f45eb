// Binding of open dimensions.
#include "src/train/bind_inputs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "src/settings/nearest.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// What a symbol stands for, and which input said so.
struct Binding {
  std::int64_t extent = 0;
  std::string input;
};
using Bindings = std::map<std::string, Binding>;

std::string where(const onnx::ModelFile& file, const onnx::DeclaredInput& input) {
  return fmt::format("{}: input '{}'", file.path(), input.name);
}

void bind(Bindings& bindings, const std::string& symbol, std::int64_t extent, const onnx::ModelFile& file,
          const onnx::DeclaredInput& input) {
  const auto [at, fresh] = bindings.emplace(symbol, Binding{extent, input.name});
  if (!fresh && at->second.extent != extent)
    throw UserError(
        fmt::format("{}: dimension '{}' would be {} here and {} in input '{}'. Name other datasets under "
                    "data.inputs, or export the model with two dimensions of different names",
                    where(file, input), symbol, extent, at->second.extent, at->second.input));
}

const std::string& dataset_of(const JobSpec& job, const std::string& input) {
  const auto named = job.data.inputs.find(input);
  return named == job.data.inputs.end() ? input : named->second;
}

/// Throws UserError where data.inputs names an input that the model lacks.
void check_names(const std::vector<onnx::DeclaredInput>& inputs, const onnx::ModelFile& file, const JobSpec& job) {
  std::vector<std::string> names;
  for (const onnx::DeclaredInput& input : inputs) names.push_back(input.name);
  for (const auto& [name, dataset] : job.data.inputs)
    if (std::find(names.begin(), names.end(), name) == names.end())
      throw UserError(fmt::format("data.inputs: {} has no input '{}'{}. Its inputs: {}", file.path(), name,
                                  did_you_mean(name, names), fmt::join(names, ", ")));
}

/// Takes what the data says about the input's open dimensions.
void bind_from_data(Bindings& bindings, const onnx::ModelFile& file, const onnx::DeclaredInput& input,
                    const JobSpec& job, const SampleShapes& shapes) {
  const auto data = shapes.inputs.find(input.name);
  for (std::size_t d = 1; d < input.dimensions.size(); ++d) {
    const std::string& symbol = input.dimensions[d].symbol;
    if (symbol.empty()) continue;
    if (data == shapes.inputs.end()) continue;  // another input may say; if none does, that is an error below
    if (data->second.rank() + 1 != static_cast<int>(input.dimensions.size()))
      throw UserError(
          fmt::format("{}: leaves dimension {} ('{}') open, and the samples of dataset '{}', of shape {}, do not "
                      "say what it is: they have {} dimensions, the model wants {}",
                      where(file, input), d, symbol, dataset_of(job, input.name), data->second.str(),
                      data->second.rank(), input.dimensions.size() - 1));
    bind(bindings, symbol, data->second[static_cast<int>(d) - 1], file, input);
  }
}

}  // namespace

onnx::ImportOptions bind_inputs(const onnx::ModelFile& file, const JobSpec& job, const SampleShapes& shapes,
                                std::int64_t samples) {
  const std::vector<onnx::DeclaredInput> inputs = onnx::declared_inputs(file);
  check_names(inputs, file, job);
  Bindings bindings;
  for (const onnx::DeclaredInput& input : inputs)
    if (!input.dimensions.empty() && !input.dimensions[0].symbol.empty())
      bind(bindings, input.dimensions[0].symbol, samples, file, input);
  for (const onnx::DeclaredInput& input : inputs) bind_from_data(bindings, file, input, job, shapes);

  onnx::ImportOptions options;
  options.train = job.train;
  options.freeze = job.freeze;
  for (const onnx::DeclaredInput& input : inputs) {
    if (input.dimensions.empty())
      throw UserError(fmt::format("{}: has no dimensions, so that it cannot hold samples", where(file, input)));
    Dims extents{samples};
    for (std::size_t d = 1; d < input.dimensions.size(); ++d) {
      const onnx::DeclaredDimension& dimension = input.dimensions[d];
      const auto bound = bindings.find(dimension.symbol);
      if (!dimension.symbol.empty() && bound == bindings.end())
        throw UserError(
            fmt::format("{}: leaves dimension {} ('{}') open, and no dataset says what it is. Name its "
                        "dataset under data.inputs",
                        where(file, input), d, dimension.symbol));
      extents.push_back(dimension.symbol.empty() ? dimension.extent : bound->second.extent);
    }
    options.shapes[input.name] = Shape(extents);
  }
  return options;
}

}  // namespace weft
