// The table of built-in models. Internal to this folder; to add one: a function in architectures.hpp, a row here.
#pragma once

#include <vector>

#include "graph/models/architectures.hpp"
#include "graph/models/models.hpp"
#include "graph/onnx/model_writer.hpp"

namespace weft::models {

struct Architecture {
  BuiltinModel about;
  void (*build)(Network& net, const Settings& settings);
  std::int64_t opset = onnx::ModelWriter::kOpset;
};

std::vector<Architecture> catalogue();

}  // namespace weft::models
