// One pass over the evaluation set with the states of a checkpoint.
#include "src/train/evaluation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <ostream>

#include "comm/agreement.hpp"
#include "src/checkpoint/load.hpp"
#include "src/job/job_file.hpp"
#include "src/run/run_folder.hpp"
#include "src/train/evaluator.hpp"
#include "src/train/job_inputs.hpp"
#include "src/train/program_agreement.hpp"
#include "src/train/resolve_plan.hpp"
#include "src/train/step_agreement.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

namespace fs = std::filesystem;

void check_job(const JobSpec& job) {
  if (job.data.eval.empty())
    throw UserError(
        "data.eval is not set: the job names no evaluation set. Add it to the job, or give --set "
        "data.eval=FILE.h5");
}

LoadedCheckpoint newest_of_run(const JobSpec& job, const EvaluationServices& services) {
  check_run_name(job.name);
  const fs::path folder = fs::path(job.runs) / job.name;
  std::vector<RejectedCheckpoint> passed_over;
  on_rank_0(services.world, "looking for the run folder", [&] {
    if (!services.files.exists(folder))
      throw UserError(fmt::format("there is no run folder '{}': train the job first, or name a file with --checkpoint",
                                  folder.string()));
    return std::vector<std::byte>{};
  });
  auto found = load_newest(services.world, services.files, folder / "checkpoints", passed_over);
  if (!found) {
    std::string why;
    for (const RejectedCheckpoint& r : passed_over) why += "\n  " + r.reason;
    throw UserError(fmt::format("'{}' holds no {}checkpoint: train the job until it has saved one{}",
                                (folder / "checkpoints").string(), passed_over.empty() ? "" : "valid ", why));
  }
  if (services.world.rank() == 0 && services.progress != nullptr)
    for (const RejectedCheckpoint& r : passed_over)
      *services.progress << fmt::format("passing over {}: {}", r.path.string(), r.reason) << std::endl;
  return *std::move(found);
}

/// Collective. The model's states from the checkpoint; the optimiser's stay unread.
void restore_model(StateTable& states, const LoadedCheckpoint& checkpoint, const JobSpec& job,
                   const EvaluationServices& services) {
  std::map<std::string, const LoadedState*> have;
  for (const LoadedState& state : checkpoint.states) have[state.name] = &state;
  for (const std::string& name : states.names()) {
    const auto found = have.find(name);
    const TensorType& type = states.at(name).shard.whole;
    const std::string mine = type.str();
    const std::string theirs = found == have.end() ? "is not in it" : "is " + found->second->type.str() + " in it";
    if (found == have.end() || found->second->type != type)
      throw UserError(fmt::format(
          "'{}' does not fit {}: state '{}' ({}) {}. Evaluate with the job that it was trained by (tie, freeze)",
          checkpoint.path.string(), job.model, name, mine, theirs));
  }
  restore(services.world, services.files, states, checkpoint);
}

}  // namespace

EvaluationResult evaluate_checkpoint(const JobSpec& given, const fs::path& path, const EvaluationServices& services) {
  const JobSpec job = with_absolute_paths(given);
  Communicator& world = services.world;
  Device& device = services.device;
  check_job(job);
  const LoadedCheckpoint checkpoint =
      path.empty() ? newest_of_run(job, services) : load_checkpoint(world, services.files, path);
  const JobModel model = open_model(world, job);
  if (checkpoint.meta.model_fingerprint != model.fingerprint)
    throw UserError(
        fmt::format("'{}' was made from another model file than {}: name the model that was trained, or another "
                    "checkpoint",
                    checkpoint.path.string(), job.model));
  const JobData data = open_data(world, job, model.file, job.data.eval);
  StepCompiler compiler(model.file, job, data.shapes, {}, device.oracle());
  const std::optional<Plan> trained =
      checkpoint.meta.plan.empty() ? std::nullopt : std::optional(Plan::parse(checkpoint.meta.plan));
  const Plan plan = evaluation_plan(job, world.size(), compiler, std::min(job.batch, data.samples), trained);
  ProgramSet programs(compiler, plan, world.rank());
  const std::vector<std::int64_t> sizes = batch_sizes(data.samples, evaluation_batch(plan));
  for (const std::int64_t size : sizes) programs.need_evaluation(size);

  StateTable states(device);
  add_model_states(states, compiler.model(sizes.front()), programs);
  const std::string difference =
      first_program_difference(world, plan.mesh, programs.programs(),
                               {{"job", job_to_yaml(job)}, {"plan", plan.json()}, {"device", device.target().str()}});
  if (!difference.empty()) throw UserError("ranks do not agree: " + difference);
  restore_model(states, checkpoint, job, services);

  std::unique_ptr<CommunicatorSet> groups;
  if (world.size() > 1) groups = std::make_unique<CommunicatorSet>(world, plan.mesh);
  programs.build(device, states, groups.get());
  std::unique_ptr<Evaluator> evaluator;
  together(world, "opening the evaluation data", [&] {
    const ReaderOptions reader = reader_options(job, compiler, data.path, sizes.front(), plan.mesh, world.rank());
    evaluator = std::make_unique<Evaluator>(programs, evaluation_reader(reader, data.path, plan));
    return std::vector<std::byte>{};
  });
  const auto start = std::chrono::steady_clock::now();
  Evaluation evaluation = evaluator->run(checkpoint.meta.step, world, [&] {
    return services.signals != nullptr ? services.signals->kind() : StopKind::none;
  });
  EvaluationResult result{checkpoint.meta.step, checkpoint.path, data.samples, evaluation.samples, 0, {}, {}};
  result.totals = std::move(evaluation.totals);
  result.stopped = reason_of(evaluation.stop);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace weft
