// Lowering, allocating and binding all Programs of a run.
#include "src/train/program_set.hpp"

#include <algorithm>
#include <chrono>

#include "weft/error.hpp"

namespace weft {

void ProgramSet::need_training(std::int64_t step_samples) {
  if (step_samples == 0 || std::find(steps_.begin(), steps_.end(), step_samples) != steps_.end()) return;
  steps_.push_back(step_samples);
  for (const PassSpec& pass : compiler_.passes(step_samples, plan_)) {
    const PassKey key{step_samples, pass.samples, pass.kind};
    if (lowered_training_.count(key)) continue;
    TrainingProgram program = compiler_.training(pass, plan_, rank_);
    for (AddedState& state : program.added) added_.emplace(state.name, state);
    tied_ = std::move(program.tied);
    trained_ = std::move(program.trained);
    batch_norm_group_ = std::max(batch_norm_group_, program.batch_norm_group);
    place_states(program.whole);
    lowered_training_.emplace(key, std::move(program.lowered));
  }
}

void ProgramSet::need_evaluation(std::int64_t samples) {
  if (samples == 0 || lowered_evaluation_.count(samples)) return;
  EvaluationProgram program = compiler_.evaluation(samples, plan_, rank_);
  tied_ = program.tied;
  place_states(program.whole);
  lowered_evaluation_.emplace(samples, std::move(program));
}

namespace {

std::int64_t arena_of(const Program& p) { return p.arena_bytes[0] + p.arena_bytes[1] + p.arena_bytes[2]; }

}  // namespace

void ProgramMemory::add(const Program& program) {
  arena_ = std::max(arena_, arena_of(program));
  resident_ = std::max(resident_, program.resident_bytes());
}

std::vector<const Program*> ProgramSet::programs() const {
  std::vector<const Program*> result;
  for (const auto& [key, lowered] : lowered_training_) result.push_back(&lowered.program);
  for (const auto& [samples, evaluation] : lowered_evaluation_) result.push_back(&evaluation.lowered.program);
  return result;
}

void ProgramSet::place_states(const Graph& whole) {
  for (auto& [state, placement] : state_placements(whole, plan_.mesh, plan_.cuts))
    placements_.emplace(state, std::move(placement));
}

bool ProgramSet::is_cut(const std::string& state) const {
  const auto found = placements_.find(state);
  return found != placements_.end() &&
         std::any_of(found->second.axes.begin(), found->second.axes.end(),
                     [](const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::split; });
}

Shard ProgramSet::shard(const std::string& state, const TensorType& whole) const {
  const auto found = placements_.find(state);
  return shard_of(whole, found == placements_.end() ? Placement{} : found->second, plan_.mesh, rank_);
}

const Program& ProgramSet::main_program() const {
  check_internal(!steps_.empty(), "no training program was asked for");
  const PassSpec pass = compiler_.passes(steps_.front(), plan_).front();
  const PassKey key{steps_.front(), pass.samples, pass.kind};
  const auto built = executors_.find(key);
  return built != executors_.end() ? built->second->program() : lowered_training_.at(key).program;
}

CompileSummary ProgramSet::build(Device& device, StateTable& states, CommunicatorSet* groups,
                                 std::optional<double> tune_seconds, const std::function<bool()>& stop_tuning) {
  const auto start = std::chrono::steady_clock::now();
  CompileSummary summary;
  if (tune_seconds) {  // before there is an arena: it takes the memory that the tuner gives back
    const PhaseTimes::Scope phase(compiler_.times(), "tuning");
    std::vector<KernelUse> uses;
    for (const auto& [key, lowered] : lowered_training_)
      for (KernelUse& use : kernel_uses(lowered.program)) uses.push_back(std::move(use));
    device.tune(uses, *tune_seconds, stop_tuning);
  }

  kernels_ = std::make_unique<KernelCache>(device);
  arena_ = std::make_unique<ArenaPool>(device);
  const auto reserve = [&](const Program& p) {
    for (const MemorySpace space : {MemorySpace::host, MemorySpace::pinned, MemorySpace::device})
      arena_->reserve(p.arena_bytes[static_cast<int>(space)], space);
    if (arena_of(p) > summary.arena_bytes) {
      summary.arena_bytes = arena_of(p);
      summary.liveness_bound_bytes = p.liveness_bound_bytes;
    }
  };
  {
    const PhaseTimes::Scope phase(compiler_.times(), "arena");
    for (const auto& [key, lowered] : lowered_training_) reserve(lowered.program);
    for (const auto& [samples, evaluation] : lowered_evaluation_) reserve(evaluation.lowered.program);
  }

  const std::vector<int> at = plan_.mesh.coordinates(rank_);
  for (std::size_t a = 0; a < at.size(); ++a)
    coordinates_[coordinate_input(plan_.mesh.axes[a].name)] = Tensor::scalar<std::int64_t>(at[a]);
  const auto make = [&](Program program) {
    auto executor = std::make_unique<Executor>(std::move(program), device, states, *kernels_, *arena_, groups);
    for (const auto& [name, coordinate] : coordinates_)
      if (executor->has_feed(name)) executor->bind(name, coordinate);
    return executor;
  };
  const PhaseTimes::Scope phase(compiler_.times(), "kernels");
  for (auto& [key, lowered] : lowered_training_) executors_[key] = make(std::move(lowered.program));
  for (auto& [samples, evaluation] : lowered_evaluation_) {
    evaluators_.push_back(make(std::move(evaluation.lowered.program)));
    evaluation_[samples] = {samples, evaluators_.back().get(), std::move(evaluation.totals)};
  }
  for (const std::int64_t step_samples : steps_)
    for (const PassSpec& pass : compiler_.passes(step_samples, plan_))
      training_[step_samples].push_back({pass, executors_.at({step_samples, pass.samples, pass.kind}).get()});
  summary.kernels = kernels_->size();
  summary.state_bytes = states.bytes();
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return summary;
}

}  // namespace weft
