// StepCompiler: from a job's model and sizes to this rank's Programs. Pure: no files, no device memory, no messages;
// `weft plan` and `weft compile` use it as `weft train` does.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/lowering/lower.hpp"
#include "graph/onnx/model_file.hpp"
#include "graph/training/training_step.hpp"
#include "src/run/phase_times.hpp"
#include "src/train/bind_inputs.hpp"
#include "weft/job.hpp"
#include "weft/kernel.hpp"
#include "weft/plan.hpp"

namespace weft {

/// A training pass for this rank.
struct TrainingProgram {
  Lowered lowered;
  Graph whole;                    ///< the step of all ranks
  std::vector<AddedState> added;  ///< states beyond the model's, with their first values
  std::map<std::string, std::string> tied;
  std::vector<std::string> trained;
  std::int64_t batch_norm_group = 0;
  std::string key;  ///< what decided `lowered`
};

struct EvaluationProgram {
  Lowered lowered;
  Graph whole;
  std::vector<EvaluationTotal> totals;
  std::map<std::string, std::string> tied;
};

/// One pass of an optimiser step, over all ranks.
struct PassSpec {
  std::int64_t step_samples = 0;
  std::int64_t offset = 0;  ///< of its first sample in the step's batch
  std::int64_t samples = 0;
  Pass kind = Pass::only;
};

/// Samples of the passes of a step, in whole units of `unit` samples. A full batch is cut into `micro_batches` as
/// evenly as can be (fewer where there are not enough units), a shorter step into as few as are no larger than those.
/// `unit` divides `step_samples`.
Dims pass_samples(std::int64_t step_samples, std::int64_t batch, std::int64_t micro_batches, std::int64_t unit = 1);
std::vector<PassSpec> passes_of_step(const Dims& samples);

class StepCompiler {
 public:
  /// All references must outlive the compiler.
  StepCompiler(const onnx::ModelFile& file, const JobSpec& job, SampleShapes shapes, RunLength run,
               const KernelOracle& oracle);

  /// The model with `samples` as first dimension of its inputs. Throws UserError where model and data do not fit.
  const Model& model(std::int64_t samples);
  /// Frees the values that states begin with, once they are in a StateTable; their types stay.
  void forget_initial_values();
  /// How a step of so many samples is cut: batch normalisation's groups stay whole, unless the job's micro_batch cuts
  /// them, which is then refused.
  Dims pass_samples_of(std::int64_t step_samples, const Plan& plan);
  std::vector<PassSpec> passes(std::int64_t step_samples, const Plan& plan) {
    return passes_of_step(pass_samples_of(step_samples, plan));
  }
  /// Samples that passes must hold multiples of.
  std::int64_t pass_unit(std::int64_t step_samples);
  /// The pass of all ranks, before anything is cut or lowered.
  TrainingGraph step_graph(const PassSpec& pass);
  TrainingProgram training(const PassSpec& pass, const Plan& plan, int rank);
  /// Takes back a program that was made to know about it only: who asks for it next need not wait. Ranks with one role
  /// share it.
  void keep(TrainingProgram program) { kept_.insert_or_assign(std::move(program.key), std::move(program.lowered)); }
  void forget_kept() { kept_.clear(); }
  /// The same of an evaluation.
  EvaluationGraph evaluation_graph(std::int64_t samples);
  EvaluationProgram evaluation(std::int64_t samples, const Plan& plan, int rank);
  /// Model states without a buffer of their own, and who holds their values.
  std::map<std::string, std::string> tied(std::int64_t samples);
  /// The forms before and after this pass are kept with the Programs compiled from now on.
  void keep_dumps_of(std::string pass) { dump_ = std::move(pass); }
  /// The forward pass alone, unsharded: fetches are the model's outputs.
  Lowered inference(std::int64_t samples);
  std::optional<TensorType> target(std::int64_t samples);
  /// How many classes integer targets choose from (cross_entropy): the model output's extent along the class axis.
  std::int64_t classes(std::int64_t samples);

  const RunLength& run() const { return run_; }
  /// Notes where time goes from now on. `times` must outlive the compiler; nullptr: nowhere.
  void note_times(PhaseTimes* times) { times_ = times; }
  PhaseTimes* times() const { return times_; }

 private:
  LoweringOptions options_for(const Plan& plan, int rank) const;
  Lowered lowered(const Graph& graph, const LoweringOptions& options) const;
  /// With attention as an operator, unless the job leaves that pass out.
  Graph recognised(Graph graph) const;
  /// The model for another number of samples, where that can be told and dropout needs it.
  std::optional<ResizedForward> resized(std::int64_t samples);

  const onnx::ModelFile& file_;
  const JobSpec& job_;
  SampleShapes shapes_;
  RunLength run_;
  const KernelOracle& oracle_;
  PhaseTimes* times_ = nullptr;
  std::map<std::int64_t, Model> models_;
  std::map<std::string, Lowered> kept_;  ///< by key
  std::string dump_;
};

}  // namespace weft
