// What a job's data says of a run before any of it is read: shapes of samples, and how many steps there are.
#pragma once

#include "graph/onnx/model_file.hpp"
#include "src/data/data_file.hpp"
#include "src/train/step_compiler.hpp"
#include "weft/job.hpp"

namespace weft {

/// Shapes of one sample, after cropping, by model input; and the target's. Inputs without a dataset are left out.
SampleShapes sample_shapes(const onnx::ModelFile& model, const JobSpec& job, const DataDescription& data);

/// The first dimension that all datasets of a file share. Throws UserError naming the file where they do not.
std::int64_t sample_count(const DataDescription& data);

/// Steps of an epoch and of the run. Throws as sample_count does.
RunLength run_length(const JobSpec& job, const DataDescription& data);

}  // namespace weft
