// Trained weights back in the user's own ONNX model.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "graph/onnx/model_file.hpp"
#include "weft/tensor.hpp"

namespace weft::onnx {

/// Writes `original` with the values of the named initializers replaced, batch normalisation and dropout in the form of
/// inference. Everything else stays as it is; external initializers become part of the file. Throws UserError when a
/// name is no initializer or type or shape differ; SystemError when the file cannot be written. The file is whole or
/// not there.
void export_model(const ModelFile& original, const std::map<std::string, Tensor>& trained,
                  const std::filesystem::path& path);

/// The same, each value read when it is written: what the model held of them may have been forgotten.
using StateReader = std::function<Tensor(const std::string& name)>;
void export_model(const ModelFile& original, const std::set<std::string>& trained, const StateReader& read,
                  const std::filesystem::path& path);

}  // namespace weft::onnx
