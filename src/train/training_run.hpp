// TrainingRun: one rank's part of a run, from files to the last checkpoint. Internal to src/train.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "graph/onnx/model_file.hpp"
#include "src/checkpoint/async_save.hpp"
#include "src/checkpoint/load.hpp"
#include "src/data/batch_reader.hpp"
#include "src/faults/crash_notes.hpp"
#include "src/faults/last_operation.hpp"
#include "src/faults/termination_watch.hpp"
#include "src/run/phase_times.hpp"
#include "src/train/evaluator.hpp"
#include "src/train/observers.hpp"
#include "src/train/program_set.hpp"
#include "src/train/reporter.hpp"
#include "src/train/resolve_plan.hpp"
#include "src/train/stop_wish.hpp"
#include "src/train/stragglers.hpp"
#include "src/train/trainer.hpp"
#include "weft/memory_limit.hpp"

namespace weft {

class TrainingRun {
 public:
  TrainingRun(const JobSpec& job, const TrainOptions& options, const TrainServices& services);
  ~TrainingRun();
  TrainingRun(const TrainingRun&) = delete;
  TrainingRun& operator=(const TrainingRun&) = delete;
  TrainResult run();

 private:
  // Set-up, in order. Each is collective.
  /// What decides who takes part in which exchange is compared before the first that depends on it.
  void agree_on_job();
  void open_folder();
  void load_model();
  void open_data();
  void agree_on_files();
  void load();
  void compile();
  void load_states(std::int64_t step_samples);
  void predict(std::int64_t step_samples);
  void restore();
  void begin();

  std::int64_t memory_for_each_rank();
  void agree_on_programs();
  void check_same_data_position(const LoadedCheckpoint& loaded) const;
  /// What this start keeps of the former one's plan.
  FormerPlan former_plan() const;

  // One step after another.
  void train_steps();
  StepNumbers run_step(std::int64_t step);
  /// One pass over this rank's share of `batch`. False when the observer ended it.
  bool run_pass(const TrainingPass& pass, const Batch& batch, std::int64_t step, ExecutionObserver& observer);
  // Evaluations are left out where a rank wishes to stop meanwhile: then they say so, and the run ends.
  StopDecision evaluate(std::int64_t step);
  StopDecision make_up_for_evaluation();
  /// `beside`: it is written beside the steps that follow, where there is memory for a copy of the states.
  void save(std::int64_t step, bool beside = false);
  /// Collective. A save in flight is waited for, at `step`.
  void finish_save(std::int64_t step);
  void saved(const SaveReport& report, std::int64_t step);
  double expected_save_seconds() const;
  StopKind wish_to_stop() const;
  /// Ends the run after `step`, with a checkpoint if there is time for one.
  void leave(const StopDecision& stop, std::int64_t step);
  /// Collective. Whether a stop of this kind leaves the time for so many checkpoints.
  bool time_to_save(const StopDecision& stop, int saves);
  bool checkpoint_due(std::int64_t step) const;
  /// Throws UserError saying where the first value that is no number came from.
  [[noreturn]] void diverged_in_forward(std::int64_t step, const Batch& batch);
  [[noreturn]] void diverged_in_backward(std::int64_t step);
  /// Whether a gradient that overflows ends a step and not the run.
  bool has_loss_scale() const { return job_.precision == DType::f16; }
  void skipped(std::int64_t step, double scale);
  /// Collective; the same on all ranks.
  std::string first_non_finite_state() const;
  std::string what_is_left() const;
  std::string remark_on(const Straggler& straggler) const;
  void export_model();  ///< collective
  void finish();

  void tell_former_end();
  /// What the rank record and exit.json keep of a failure. Never throws.
  void record_failure(const std::exception& error) noexcept;

  bool speaks() const { return world_.rank() == 0; }
  void note(const std::string& text);
  void warn(const std::string& text);  ///< heard even where progress is silent
  CheckpointMeta meta(std::int64_t step) const;

  JobSpec job_;
  TrainOptions options_;
  TrainServices services_;
  Communicator& world_;

  std::optional<RunFolder> folder_;  ///< rank 0
  std::filesystem::path path_;
  std::optional<LastOperationFile> last_operation_;
  std::optional<CrashNotes> crash_notes_;
  std::optional<TerminationWatch> termination_watch_;
  std::optional<onnx::ModelFile> model_file_;
  std::string model_fingerprint_, data_fingerprint_, evaluation_fingerprint_;
  std::optional<LoadedCheckpoint> former_;  ///< from load to restore
  std::unique_ptr<StepCompiler> compiler_;
  Plan plan_;
  RunLength length_;
  std::int64_t samples_ = 0, evaluation_samples_ = 0;
  std::unique_ptr<StateTable> states_;
  std::unique_ptr<CommunicatorSet> groups_;
  std::unique_ptr<ProgramSet> programs_;
  std::unique_ptr<BatchReader> reader_;
  std::unique_ptr<Evaluator> evaluator_;
  std::unique_ptr<Reporter> reporter_;  ///< rank 0
  AsyncSave background_save_{world_, services_.files, [] { return available_memory(); }};
  std::int64_t background_step_ = 0;
  bool told_of_waiting_ = false;
  Tracer tracer_;
  std::set<std::string> parameters_;
  std::vector<double> step_seconds_, communication_seconds_, exposed_seconds_;
  PhaseTimes times_{seconds_since_process_start()};
  std::chrono::steady_clock::time_point began_, saved_at_;
  StopWish stop_wish_;
  StopKind stopped_by_ = StopKind::none;
  double save_seconds_ = 0;      ///< of the last save
  std::int64_t saved_step_ = 0;  ///< of the newest good checkpoint; 0: none
  TrainResult result_;
};

}  // namespace weft
