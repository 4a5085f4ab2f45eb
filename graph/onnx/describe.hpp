// What a model file says about itself, and which of its initializers are parameters and why: for `weft inspect`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "graph/onnx/model_file.hpp"
#include "weft/dtype.hpp"
#include "weft/shape.hpp"

namespace weft::onnx {

enum class InitializerKind : std::uint8_t {
  parameter,  ///< trained
  state,      ///< kept with the parameters but not trained: running statistics, and what `freeze` names
  constant    ///< part of the graph
};

struct InitializerVerdict {
  std::string name;
  std::string type;  ///< "f32", or ONNX's name where Weft has none
  Dims extents;
  InitializerKind kind = InitializerKind::constant;
  std::string reason;   ///< "weight of Conv node '/conv1'"
  std::string copy_of;  ///< an earlier parameter with equal bits, or ""
  /// The parameter that the exporter wrote a second time under this name, or ""; import makes one of the two.
  std::string tied_to;
  bool transposed = false;  ///< it was written so
};

/// Every initializer of the main graph, in the file's order. A floating one that reaches a weight slot of a
/// contraction, normalisation, embedding or affine operator, through transposes, reshapes, casts and the like, is a
/// parameter. `train` and `freeze` are name patterns (`*`, `?`); `freeze` wins. A pattern that names nothing throws
/// UserError.
std::vector<InitializerVerdict> judge_initializers(const ModelFile& file, const std::vector<std::string>& train = {},
                                                   const std::vector<std::string>& freeze = {});

/// An input or output as the file declares it: "f32[N, 3, 224, 224]".
struct PortDescription {
  std::string name, type;
};

struct ModelDescription {
  std::string producer;  ///< "pytorch 2.1.0", or ""
  std::int64_t ir_version = 0;
  std::vector<std::pair<std::string, std::int64_t>> opsets;     ///< domain ("ai.onnx" for the standard one), version
  std::int64_t nodes = 0;                                       ///< of the main graph, functions expanded
  std::vector<std::pair<std::string, std::int64_t>> operators;  ///< by name, with how many nodes
  std::vector<PortDescription> inputs, outputs;
  std::vector<InitializerVerdict> initializers;
  std::int64_t parameter_count = 0;   ///< elements of all parameters
  std::vector<std::string> warnings;  ///< what whoever wants to train this model should know
};

/// What whoever wants to train this model should know before: batch normalisation that the exporter folded away.
std::vector<std::string> training_warnings(const ModelFile& file);

ModelDescription describe_model(const ModelFile& file);

/// For people, several lines.
std::string to_text(const ModelDescription& description);

}  // namespace weft::onnx
