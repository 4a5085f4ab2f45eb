// ONNX to Graph: a model with its symbolic dimensions bound becomes primitives and composites of static shape.
//
// Shape arithmetic (Shape, Gather, Concat, Range, ...) is computed on import. Operators that Weft does not have are
// collected over the whole model and reported at once. Operators by name: graph/onnx/ops/table.cpp.
//
// Sequences and optionals of tensors are resolved on import: they are lists of values, and a sequence that the model
// returns becomes fetches NAME[0], NAME[1], ...
//
// Agreed forms: BatchNormalization in inference mode is one batch_norm node with five operands (x, scale, bias, running
// mean, running variance); Dropout is one dropout node with one operand. The training-graph builder rewrites both.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "graph/onnx/model_file.hpp"
#include "weft/graph.hpp"
#include "weft/tensor.hpp"

namespace weft::onnx {

struct ImportOptions {
  /// Symbolic dimension ("N", "sequence") to extent. A dimension without a name is called INPUT.d, as in "x.0".
  std::map<std::string, std::int64_t> symbols{};
  /// Graph input to its whole shape: wins over symbols and over what the file fixes.
  std::map<std::string, Shape> shapes{};
  /// Graph input to a value, which becomes part of the graph: for inputs whose values decide shapes or attributes.
  std::map<std::string, Tensor> constants{};
  /// Graph input that is a sequence to the types of its elements, which become feeds NAME[0], NAME[1], ...
  std::map<std::string, std::vector<TensorType>> sequences{};
  /// Graph inputs of an optional type that are left out.
  std::set<std::string> absent{};
  /// Name patterns (`*` and `?`) of initializers that are, or are not, parameters, whatever the rules say.
  std::vector<std::string> train{}, freeze{};
};

/// Throws UserError with everything that is in the way: unbound symbols, inputs that must be constants, and each
/// operator that is not supported or does not fit, with node names and reasons.
Model import_model(const ModelFile& file, const ImportOptions& options);

/// The graph inputs whose values decide shapes or attributes, so that `options.constants` must hold them; empty when
/// none (more) are needed. Other obstacles are left to import_model.
std::vector<std::string> required_constants(const ModelFile& file, const ImportOptions& options);

/// One dimension of an input, as the file declares it.
struct DeclaredDimension {
  std::string symbol;       ///< empty: fixed
  std::int64_t extent = 0;  ///< when fixed
};

/// A real input (initializers left out) of the model.
struct DeclaredInput {
  std::string name;
  std::vector<DeclaredDimension> dimensions;
};

/// The model's real inputs, in the file's order, with symbols named as `ImportOptions::symbols` names them.
std::vector<DeclaredInput> declared_inputs(const ModelFile& file);

/// The symbolic dimensions of the model's inputs, in order of appearance, named as `ImportOptions::symbols` names them.
std::vector<std::string> symbolic_dimensions(const ModelFile& file);

/// The names of the model's real inputs, and of its outputs, in the file's order.
std::vector<std::string> input_names(const ModelFile& file);
std::vector<std::string> output_names(const ModelFile& file);

}  // namespace weft::onnx
