// ProgramSet: every Program that a run needs (full steps, tails, evaluation), compiled before the first step, over one
// arena and one table of states.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "graph/partition/partition.hpp"
#include "src/executor/executor.hpp"
#include "src/train/step_compiler.hpp"
#include "weft/device.hpp"
#include "weft/state.hpp"

namespace weft {

/// One executor and what its caller needs to know of it.
struct TrainingPass {
  PassSpec spec;
  Executor* executor = nullptr;
};

struct EvaluationPass {
  std::int64_t samples = 0;
  Executor* executor = nullptr;
  std::vector<EvaluationTotal> totals;
};

/// What was compiled, for logs and reports.
struct CompileSummary {
  double seconds = 0;
  std::size_t kernels = 0;
  std::int64_t arena_bytes = 0;           ///< largest over all Programs
  std::int64_t liveness_bound_bytes = 0;  ///< of that Program
  std::int64_t state_bytes = 0;
};

/// Bytes of arena, states and constants that a rank holds for Programs that run one at a time.
class ProgramMemory {
 public:
  void add(const Program& program);
  std::int64_t bytes() const { return arena_ + resident_; }

 private:
  std::int64_t arena_ = 0, resident_ = 0;
};

class ProgramSet {
 public:
  ProgramSet(StepCompiler& compiler, const Plan& plan, int rank) : compiler_(compiler), plan_(plan), rank_(rank) {}

  // First: say what will be needed. Lowers, allocates nothing.
  void need_training(std::int64_t step_samples);
  void need_evaluation(std::int64_t samples);

  /// All that were lowered. Before `build`, which takes them.
  std::vector<const Program*> programs() const;
  /// Whether ranks hold different parts of the state.
  bool is_cut(const std::string& state) const;
  /// This rank's part of a state of this whole type.
  Shard shard(const std::string& state, const TensorType& whole) const;
  /// States that training adds to the model's, with their first values.
  const std::map<std::string, AddedState>& added_states() const { return added_; }
  const std::map<std::string, std::string>& tied() const { return tied_; }
  const std::vector<std::string>& trained() const { return trained_; }
  std::int64_t batch_norm_group() const { return batch_norm_group_; }
  /// This rank's samples of a pass of so many.
  SampleRange share(std::int64_t pass_samples) const { return rank_samples(pass_samples, plan_.mesh, rank_); }
  /// The Program of the first full training pass.
  const Program& main_program() const;

  /// Then: compiles kernels and binds everything. `states` holds all states. Collective where there are several ranks.
  /// With `tune_seconds` schedules of training's kernels are looked for first (Device::tune), on this rank for so long,
  /// or until `stop_tuning` says yes.
  CompileSummary build(Device& device, StateTable& states, CommunicatorSet* groups,
                       std::optional<double> tune_seconds = std::nullopt,
                       const std::function<bool()>& stop_tuning = {});

  /// The passes of a step of so many samples (needed before).
  const std::vector<TrainingPass>& training(std::int64_t step_samples) const { return training_.at(step_samples); }
  const EvaluationPass& evaluation(std::int64_t samples) const { return evaluation_.at(samples); }

 private:
  void place_states(const Graph& whole);

  using PassKey = std::tuple<std::int64_t, std::int64_t, Pass>;  // step samples, pass samples, kind

  StepCompiler& compiler_;
  Plan plan_;
  int rank_;
  std::map<PassKey, Lowered> lowered_training_;
  std::map<std::int64_t, EvaluationProgram> lowered_evaluation_;
  std::vector<std::int64_t> steps_;
  std::map<std::string, AddedState> added_;
  std::map<std::string, std::string> tied_;
  std::vector<std::string> trained_;
  std::int64_t batch_norm_group_ = 0;
  std::map<std::string, Placement> placements_;  ///< of the states of all Programs

  std::unique_ptr<KernelCache> kernels_;
  std::unique_ptr<ArenaPool> arena_;
  std::map<PassKey, std::unique_ptr<Executor>> executors_;
  std::vector<std::unique_ptr<Executor>> evaluators_;
  std::map<std::int64_t, std::vector<TrainingPass>> training_;
  std::map<std::int64_t, EvaluationPass> evaluation_;
  std::map<std::string, Tensor> coordinates_;  ///< this rank's, as scalars of the Programs
};

}  // namespace weft
