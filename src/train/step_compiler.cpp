// Import, training graph, partition and lowering, in one place.
#include "src/train/step_compiler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "graph/ir/passes/attention.hpp"
#include "graph/partition/partition.hpp"
#include "graph/training/batch_norm_group.hpp"
#include "graph/training/forward.hpp"
#include "graph/training/loss.hpp"
#include "graph/training/parameters.hpp"
#include "src/train/timed_oracle.hpp"
#include "weft/error.hpp"
#include "weft/mesh.hpp"

namespace weft {

Dims pass_samples(std::int64_t step_samples, std::int64_t batch, std::int64_t micro_batches, std::int64_t unit) {
  const std::int64_t units = step_samples / unit;
  std::int64_t passes = std::min(micro_batches, units);
  if (step_samples < batch) {
    const std::int64_t units_a_pass = std::max<std::int64_t>(1, (batch + micro_batches - 1) / micro_batches / unit);
    passes = (units + units_a_pass - 1) / units_a_pass;
  }
  Dims samples = split_evenly(units, static_cast<int>(passes));
  for (std::int64_t& s : samples) s *= unit;
  return samples;
}

std::vector<PassSpec> passes_of_step(const Dims& samples) {
  std::vector<PassSpec> passes;
  const std::int64_t step_samples = std::accumulate(samples.begin(), samples.end(), std::int64_t{0});
  std::int64_t offset = 0;
  for (const std::int64_t s : samples) {
    passes.push_back({step_samples, offset, s, Pass::middle});
    offset += s;
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
  const PhaseTimes::Scope phase(times_, "import");
  Model made = onnx::import_model(file_, bind_inputs(file_, job_, shapes_, samples));
  made.forward = recognised(std::move(made.forward));
  return models_[samples] = std::move(made);
}

Graph StepCompiler::recognised(Graph graph) const {
  const auto& without = job_.compile.without;
  return std::find(without.begin(), without.end(), "attention") == without.end() ? with_attention(graph) : graph;
}

void StepCompiler::forget_initial_values() {
  for (auto& [samples, model] : models_)
    for (ModelState& state : model.states)
      state.initial = InitialValue::zeros(state.initial.dtype(), state.initial.shape());
}

std::int64_t StepCompiler::pass_unit(std::int64_t step_samples) {
  const Model& any = models_.empty() ? model(step_samples) : models_.begin()->second;
  return trained_statistics(any.forward, job_.freeze).empty() ? 1 : batch_norm_group(job_, step_samples);
}

Dims StepCompiler::pass_samples_of(std::int64_t step_samples, const Plan& plan) {
  const bool as_told = job_.micro_batch.has_value() && step_samples == job_.batch;
  return pass_samples(step_samples, job_.batch, plan.micro_batches, as_told ? 1 : pass_unit(step_samples));
}

std::optional<ResizedForward> StepCompiler::resized(std::int64_t samples) {
  if (!has_dropout(model(samples).forward)) return std::nullopt;
  const auto other = std::find_if(models_.begin(), models_.end(), [&](const auto& m) { return m.first != samples; });
  if (other != models_.end()) return ResizedForward{&other->second.forward, other->first};
  try {
    return ResizedForward{&model(samples + 1).forward, samples + 1};
  } catch (const UserError&) {
    return std::nullopt;  // a model of one number of samples
  }
}

LoweringOptions StepCompiler::options_for(const Plan& plan, int rank) const {
  LoweringOptions options;
  options.bucket_bytes = plan.bucket_bytes;
  options.mesh = plan.mesh;
  options.rank = rank;
  options.cuts = plan.cuts;
  options.compute = plan.compute;
  options.recompute = plan.recompute;
  options.without = job_.compile.without;
  options.dump = dump_;
  return options;
}

Lowered StepCompiler::lowered(const Graph& graph, const LoweringOptions& options) const {
  const PhaseTimes::Scope phase(times_, "passes");
  return lower(graph, TimedOracle(oracle_, times_), options);
}

TrainingGraph StepCompiler::step_graph(const PassSpec& pass) {
  const StepShape shape{pass.samples, pass.step_samples, pass.kind, run_, shapes_.target, resized(pass.samples)};
  const Model& source = model(pass.samples);
  const PhaseTimes::Scope phase(times_, "step graph");
  return build_training_step(source, job_, shape);
}

TrainingProgram StepCompiler::training(const PassSpec& pass, const Plan& plan, int rank) {
  TrainingGraph step = step_graph(pass);
  static constexpr const char* kKinds[] = {"", " first", " middle", " last"};
  LoweringOptions options = options_for(plan, rank);
  options.role = fmt::format("train {} of {}{}", pass.samples, pass.step_samples, kKinds[static_cast<int>(pass.kind)]);
  options.guard = "loss";
  Plan deciding = plan;
  deciding.threads = 0;  // the oracle's
  std::string key = fmt::format("{}\n{}\n{}\n{}", options.role, deciding.json(),
                                role_key(step.graph, plan.mesh, rank, plan.cuts), dump_);
  auto kept = kept_.extract(key);
  Lowered program = kept ? std::move(kept.mapped()) : lowered(step.graph, options);
  return {std::move(program),      std::move(step.graph), std::move(step.added), std::move(step.tied),
          std::move(step.trained), step.batch_norm_group, std::move(key)};
}

EvaluationGraph StepCompiler::evaluation_graph(std::int64_t samples) {
  EvaluationGraph evaluation = build_evaluation(model(samples), job_, samples, shapes_.target);
  evaluation.graph = recognised(std::move(evaluation.graph));  // dropout is gone from it
  return evaluation;
}

EvaluationProgram StepCompiler::evaluation(std::int64_t samples, const Plan& plan, int rank) {
  EvaluationGraph evaluation = evaluation_graph(samples);
  LoweringOptions options = options_for(plan, rank);
  options.role = fmt::format("evaluate {}", samples);
  Lowered program = lowered(evaluation.graph, options);
  return {std::move(program), std::move(evaluation.graph), std::move(evaluation.totals), tied(samples)};
}

std::map<std::string, std::string> StepCompiler::tied(std::int64_t samples) {
  const Model& source = model(samples);
  return choose_parameters(source, job_, trained_statistics(source.forward, job_.freeze)).tied;
}

Lowered StepCompiler::inference(std::int64_t samples) {
  LoweringOptions options;
  options.without = job_.compile.without;
  options.compute = job_.precision;
  options.role = fmt::format("predict {}", samples);
  return lowered(recognised(inference_graph(model(samples).forward)), options);
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
