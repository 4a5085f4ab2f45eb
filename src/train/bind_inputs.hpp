// Which shapes a model's inputs get: samples from the batch, the rest from the model and, where it leaves them open,
// from the data.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "graph/onnx/import.hpp"
#include "weft/job.hpp"
#include "weft/shape.hpp"

namespace weft {

/// What the data says about one sample: dataset shapes after cropping, by model input; and the stored target's.
struct SampleShapes {
  std::map<std::string, Shape> inputs;
  std::optional<Shape> target;
};

/// Import options with a whole shape for every input: the first dimension is `samples`, even where the file fixes
/// another; fixed ones stay; symbolic ones are taken from the data. Throws UserError naming model, input and dimension
/// where the data cannot say, or where two inputs give one symbol different extents.
onnx::ImportOptions bind_inputs(const onnx::ModelFile& file, const JobSpec& job, const SampleShapes& shapes,
                                std::int64_t samples);

}  // namespace weft
