// Import, training graph, partition and lowering, in one place.
#include "src/train/step_compiler.hpp"

#include <fmt/format.h>

#include "graph/ir/passes/simplify.hpp"
#include "graph/partition/partition.hpp"
#include "graph/training/forward.hpp"
#include "graph/training/loss.hpp"
#include "graph/training/parameters.hpp"
#include "weft/error.hpp"
#include "weft/mesh.hpp"

namespace weft {

std::vector<PassSpec> passes_of_step(std::int64_t step_samples, std::int64_t micro_batches) {
  std::vector<PassSpec> passes;
  std::int64_t offset = 0;
  for (const std::int64_t samples : split_evenly(step_samples, static_cast<int>(micro_batches))) {
    if (samples == 0) break;  // larger parts come first
    passes.push_back({step_samples, offset, samples, Pass::middle});
    offset += samples;
  }
  if (passes.size() == 1) {
    passes.front().kind = Pass::only;
  } else if (!passes.empty()) {
    passes.front().kind = Pass::first;
    passes.back().kind = Pass::last;
  }
  return passes;
}

StepCompiler::StepCompiler(const onnx::ModelFile& file, const JobSpec& job, SampleShapes shapes, RunLength run,
                           const KernelOracle& oracle)
    : file_(file), job_(job), shapes_(std::move(shapes)), run_(run), oracle_(oracle) {}

const Model& StepCompiler::model(std::int64_t samples) {
  const auto found = models_.find(samples);
  if (found != models_.end()) return found->second;
  return models_[samples] = onnx::import_model(file_, bind_inputs(file_, job_, shapes_, samples));
}

TrainingProgram StepCompiler::training(const PassSpec& pass, const Plan& plan, int rank) {
  const StepShape shape{pass.samples, pass.step_samples, pass.kind, run_, shapes_.target};
  TrainingGraph step = build_training_step(model(pass.samples), job_, shape);
  const Graph local = partition(simplify(step.graph), plan.mesh, rank);
  static constexpr const char* kKinds[] = {"", " first", " middle", " last"};
  LoweringOptions options;
  options.role = fmt::format("train {} of {}{}", pass.samples, pass.step_samples, kKinds[static_cast<int>(pass.kind)]);
  options.bucket_bytes = plan.bucket_bytes;
  options.guard = "loss";
  Lowered lowered = lower(local, oracle_, options);
  return {std::move(lowered),      std::move(step.graph), local, std::move(step.added), std::move(step.tied),
          std::move(step.trained), step.batch_norm_group};
}

EvaluationProgram StepCompiler::evaluation(std::int64_t samples, const Plan& plan, int rank) {
  EvaluationGraph evaluation = build_evaluation(model(samples), job_, samples, shapes_.target);
  const Graph local = partition(simplify(evaluation.graph), plan.mesh, rank);
  LoweringOptions options;
  options.role = fmt::format("evaluate {}", samples);
  options.bucket_bytes = plan.bucket_bytes;
  const Model& source = model(samples);
  Parameters parameters = choose_parameters(source, job_, trained_statistics(source.forward, job_.freeze));
  Lowered lowered = lower(local, oracle_, options);
  return {std::move(lowered), std::move(evaluation.graph), local, std::move(evaluation.totals),
          std::move(parameters.tied)};
}

Lowered StepCompiler::inference(std::int64_t samples) {
  LoweringOptions options;
  options.role = fmt::format("predict {}", samples);
  return lower(inference_graph(model(samples).forward), oracle_, options);
}

std::optional<TensorType> StepCompiler::target(std::int64_t samples) {
  return target_type(model(samples), job_, samples, shapes_.target);
}

std::int64_t StepCompiler::classes(std::int64_t samples) {
  const Graph& forward = model(samples).forward;
  const LossTarget about = find_loss_target(forward, job_.loss, shapes_.target, samples);
  return forward.type(forward.find_output(about.output)).shape[about.class_axis];
}

}  // namespace weft
