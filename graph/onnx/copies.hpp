// Initializers that hold what another one holds: equal copies, and one parameter that an exporter wrote twice.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "graph/onnx/describe.hpp"
#include "graph/onnx/metadata.hpp"
#include "graph/onnx/proto.hpp"

namespace weft::onnx {

/// Fills `copy_of` of parameters with equal bits. The verdicts are those of the main graph's initializers, in order.
void find_copies(std::vector<InitializerVerdict>& verdicts, const ModelContents& contents);

/// Fills `tied_to` and `transposed`: an exporter that optimises turns a tied weight (an embedding that is the output
/// layer too) into two initializers, one of them transposed, and notes what it computed the second from, or gives it a
/// name of its own making.
void find_ties(std::vector<InitializerVerdict>& verdicts, const ModelContents& contents,
               const std::unordered_map<std::string, ExporterNote>& notes);

}  // namespace weft::onnx
