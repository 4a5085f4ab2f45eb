// Trained weights back in the user's own ONNX model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
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

/// A trained value that lies elsewhere.
struct TrainedValue {
  DType dtype = DType::f32;
  Shape shape;
  std::function<void(std::int64_t offset, std::span<std::byte> to)> read;  ///< some of its bytes, row-major
};

/// A tensor as such a value.
TrainedValue trained_value(const Tensor& tensor);

/// The same, each value read when it is written, part by part: memory is full of states at the end of a run.
using StateReader = std::function<TrainedValue(const std::string& name)>;
void export_model(const ModelFile& original, const std::set<std::string>& trained, const StateReader& read,
                  const std::filesystem::path& path);

}  // namespace weft::onnx
