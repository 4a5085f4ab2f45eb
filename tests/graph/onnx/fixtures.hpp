// Small models for the tests of this folder, made without files.
#pragma once

#include <string>

#include "graph/onnx/model_writer.hpp"

namespace weft::onnx {

/// input [N, 4] -> Gemm (w [3, 4], b [3]) -> Relu -> output [N, 3].
inline ModelFile linear_model() {
  ModelWriter writer("linear");
  const std::string x = writer.input("input", DType::f32, {"N", 4});
  const std::string w = writer.initializer("w", Tensor::from<float>({3, 4}, {1, 0, 0, 0, 0, 2, 0, 0, 0, 0, -3, 0}));
  const std::string b = writer.initializer("b", Tensor::from<float>({3}, {0.5F, 0, 0}));
  const std::string y = writer.node("Gemm", {x, w, b}, "fc", {{"transB", std::int64_t{1}}});
  writer.output(writer.node("Relu", {y}, "relu", {}, "output"), DType::f32, {"N", 3});
  return std::move(writer).finish();
}

}  // namespace weft::onnx
