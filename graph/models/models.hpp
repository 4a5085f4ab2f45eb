// Built-in architectures with fresh weights, written as ONNX by `weft model`.
//
// Each takes `input` and returns `output`; the batch is the symbolic dimension "N". Initializers are named as in
// PyTorch's and torchvision's state dictionaries and drawn from the distributions that those use by default, as a
// function of (seed, name).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "graph/onnx/model_file.hpp"

namespace weft {

struct ModelSetting {
  std::string name, value, meaning;  ///< `value` is the default
};

struct BuiltinModel {
  std::string name, summary;
  std::vector<ModelSetting> settings;
};

/// In the order in which they are listed to users.
std::vector<BuiltinModel> builtin_models();

/// Settings that are left out take their defaults. Throws UserError for an unknown model or setting (naming the nearest
/// right one) and for values out of range.
onnx::ModelFile build_model(const std::string& name, const std::map<std::string, std::string>& settings = {});

/// The same, written to `path`; throws SystemError when that fails.
void write_builtin_model(const std::string& name, const std::map<std::string, std::string>& settings,
                         const std::filesystem::path& path);

}  // namespace weft
