// Matching inputs with arrays.
#include "src/predict/model_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "src/settings/nearest.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

std::string listed(const ArrayFile& file) {
  std::vector<std::string> arrays;
  for (const ArrayInfo& a : file.arrays()) arrays.push_back(a.str());
  return fmt::format("{}", fmt::join(arrays, ", "));
}

std::string shape_text(const onnx::DeclaredInput& input) {
  std::vector<std::string> dims;
  for (const onnx::DeclaredDimension& d : input.dimensions)
    dims.push_back(d.symbol.empty() ? std::to_string(d.extent) : d.symbol);
  return fmt::format("[{}]", fmt::join(dims, ", "));
}

/// Whether an array could be samples of the input: fixed extents after the first are equal.
bool fits(const ArrayInfo& array, const onnx::DeclaredInput& input) {
  if (array.shape.rank() != static_cast<int>(input.dimensions.size())) return false;
  for (int d = 1; d < array.shape.rank(); ++d) {
    const onnx::DeclaredDimension& wanted = input.dimensions[static_cast<std::size_t>(d)];
    if (wanted.symbol.empty() && wanted.extent != array.shape[d]) return false;
  }
  return true;
}

std::size_t choose(const ArrayFile& file, const onnx::DeclaredInput& input, const std::string* mapped,
                   const std::string& model) {
  const std::vector<ArrayInfo>& arrays = file.arrays();
  const auto named = [&](const std::string& name) {
    const auto at = std::find_if(arrays.begin(), arrays.end(), [&](const ArrayInfo& a) { return a.name == name; });
    return static_cast<std::size_t>(at - arrays.begin());
  };
  const std::string& name = mapped != nullptr ? *mapped : input.name;
  if (const std::size_t at = named(name); at < arrays.size()) return at;
  if (mapped != nullptr)
    throw UserError(fmt::format("{}: there is no array '{}' for input '{}'; it has {}", file.path(), name, input.name,
                                listed(file)));
  if (arrays.size() == 1) return 0;
  std::vector<std::size_t> fitting;
  for (std::size_t a = 0; a < arrays.size(); ++a)
    if (fits(arrays[a], input)) fitting.push_back(a);
  if (fitting.size() == 1) return fitting.front();
  throw UserError(fmt::format(
      "{}: there is no array '{}', which {} of {} would read, and {} have its shape; the file has {}. Say which one "
      "with --map {}=ARRAY, or name its file with --input {}=F",
      file.path(), input.name, shape_text(input), model, fitting.empty() ? "none" : "several", listed(file), input.name,
      input.name));
}

}  // namespace

std::vector<NamedFile> named_files(const std::vector<std::string>& given, const std::vector<std::string>& names,
                                   const std::string& kind, const std::string& model) {
  std::vector<NamedFile> files;
  std::set<std::string> seen;
  for (const std::string& text : given) {
    NamedFile file{"", text};
    const auto equals = text.find('=');
    const std::string name = text.substr(0, equals == std::string::npos ? 0 : equals);
    if (std::find(names.begin(), names.end(), name) != names.end())
      file = {name, text.substr(equals + 1)};
    else if (equals != std::string::npos && !std::filesystem::exists(text) && name.find('/') == std::string::npos)
      throw UserError(fmt::format("--{} {}: {} has no {} '{}'{}; it has {}", kind, text, model, kind, name,
                                  did_you_mean(name, names), fmt::join(names, ", ")));
    if (!seen.insert(file.name).second)
      throw UserError(file.name.empty()
                          ? fmt::format("--{} {}: a second file without a name; write --{} NAME=F, where NAME is one "
                                        "of {}",
                                        kind, text, kind, fmt::join(names, ", "))
                          : fmt::format("--{}: '{}' is there twice", kind, file.name));
    files.push_back(std::move(file));
  }
  return files;
}

ArrayFile& ModelInputs::open(const std::string& path) {
  for (const auto& file : files_)
    if (file->path() == path) return *file;
  files_.push_back(open_arrays(path));
  return *files_.back();
}

ModelInputs::ModelInputs(const onnx::ModelFile& model, const std::vector<NamedFile>& files,
                         const std::map<std::string, std::string>& mapped) {
  for (const auto& [input, array] : mapped) {
    const std::vector<std::string> names = onnx::input_names(model);
    if (std::find(names.begin(), names.end(), input) == names.end())
      throw UserError(fmt::format("{} has no input '{}', which is to read '{}'{}; it has {}", model.path(), input,
                                  array, did_you_mean(input, names), fmt::join(names, ", ")));
  }
  for (onnx::DeclaredInput& input : onnx::declared_inputs(model)) {
    const auto find = [&](const std::string& name) {
      return std::find_if(files.begin(), files.end(), [&](const NamedFile& f) { return f.name == name; });
    };
    auto file = find(input.name);
    if (file == files.end()) file = find("");
    if (file == files.end())
      throw UserError(fmt::format("input '{}' {} of {} has no file: give --input {}=F", input.name, shape_text(input),
                                  model.path(), input.name));
    ArrayFile& opened = open(file->path);
    const auto map = mapped.find(input.name);
    const std::size_t array = choose(opened, input, map == mapped.end() ? nullptr : &map->second, model.path());
    for (const ModelInput& other : inputs_)
      if (other.file == &opened && other.array == array && map == mapped.end() &&
          opened.arrays()[array].name != input.name)
        throw UserError(fmt::format(
            "{}: '{}' would be read for both inputs '{}' and '{}' of {}; the file has {}. Name "
            "each input's file with --input NAME=F, or its array with --map",
            opened.path(), opened.arrays()[array].name, other.declared.name, input.name, model.path(), listed(opened)));
    inputs_.push_back({std::move(input), &opened, array});
  }
}

}  // namespace weft
