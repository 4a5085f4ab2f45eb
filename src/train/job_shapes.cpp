// Shapes and lengths.
#include "src/train/job_shapes.hpp"

#include <fmt/format.h>

#include <cmath>

#include "graph/onnx/import.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

std::optional<Shape> sample_shape(const JobSpec& job, const DataDescription& data, const std::string& dataset) {
  for (const DatasetDescription& d : data.datasets)
    if (d.name == dataset && d.shape.rank() >= 1) {
      Dims dims(d.shape.begin() + 1, d.shape.end());
      if (dims.size() == 3 && job.data.crop > 0) dims[1] = dims[2] = job.data.crop;
      return Shape(dims);
    }
  return std::nullopt;
}

}  // namespace

SampleShapes sample_shapes(const onnx::ModelFile& model, const JobSpec& job, const DataDescription& data) {
  SampleShapes shapes;
  for (const std::string& input : onnx::input_names(model)) {
    const auto mapped = job.data.inputs.find(input);
    if (const auto shape = sample_shape(job, data, mapped == job.data.inputs.end() ? input : mapped->second))
      shapes.inputs[input] = *shape;
  }
  if (!job.data.target.empty()) shapes.target = sample_shape(job, data, job.data.target);
  return shapes;
}

std::int64_t sample_count(const DataDescription& data) {
  if (data.samples < 0)
    throw UserError(
        fmt::format("{}: the datasets do not share their first dimension, the samples; `weft data show {}` "
                    "lists them. Keep what is not samples in another file",
                    data.path, data.path));
  if (data.samples == 0) throw UserError(fmt::format("{}: holds no samples", data.path));
  return data.samples;
}

RunLength run_length(const JobSpec& job, const DataDescription& data) {
  RunLength length;
  length.steps_per_epoch = (sample_count(data) + job.batch - 1) / job.batch;
  length.total_steps =
      job.steps ? *job.steps
                : static_cast<std::int64_t>(std::ceil(job.epochs * static_cast<double>(length.steps_per_epoch) - 1e-9));
  return length;
}

}  // namespace weft
