// ModelWriter: builds an ONNX model node by node, symbolic dimensions included.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "graph/onnx/model_file.hpp"
#include "weft/attributes.hpp"
#include "weft/tensor.hpp"

namespace weft::onnx {

class ModelWriter {
 public:
  using Dim = std::variant<std::int64_t, std::string>;  ///< an extent, or the name of a symbolic one

  /// Old enough for every tool, new enough for LayerNormalization. Gelu is there from 20 on.
  static constexpr std::int64_t kOpset = 17;

  explicit ModelWriter(const std::string& graph_name, std::int64_t opset = kOpset);
  ~ModelWriter();
  ModelWriter(ModelWriter&&) noexcept;
  ModelWriter& operator=(ModelWriter&&) noexcept;

  // Each returns the name of the value, to be read by later nodes.
  std::string input(const std::string& name, DType type, const std::vector<Dim>& shape);
  std::string initializer(const std::string& name, const Tensor& value);
  /// A node named `name` with one result, which is called `result` ("NAME/out" when empty). Reals become FLOAT
  /// attributes, integers INT.
  std::string node(const std::string& op, const std::vector<std::string>& inputs, const std::string& name,
                   const Attributes& attributes = {}, const std::string& result = {});
  /// The same with `results` results, called "NAME/out0" and so on.
  std::vector<std::string> node_of(int results, const std::string& op, const std::vector<std::string>& inputs,
                                   const std::string& name, const Attributes& attributes = {});
  /// Declares an existing value to be an output.
  void output(const std::string& value, DType type, const std::vector<Dim>& shape);

  /// The model, checked as a file would be.
  ModelFile finish() &&;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Writes a model as it is; the file is whole or not there. Throws SystemError.
void write_model(const ModelFile& model, const std::filesystem::path& path);

}  // namespace weft::onnx
