// The first half of a run: everything up to step 0.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "comm/agreement.hpp"
#include "comm/first_difference.hpp"
#include "graph/onnx/describe.hpp"
#include "src/checkpoint/folder.hpp"
#include "src/checkpoint/load.hpp"
#include "src/checkpoint/replicas.hpp"
#include "src/faults/exit_report.hpp"
#include "src/faults/flight_file.hpp"
#include "src/faults/rank_records.hpp"
#include "src/job/job_file.hpp"
#include "src/train/job_inputs.hpp"
#include "src/train/job_shapes.hpp"
#include "src/train/program_agreement.hpp"
#include "src/train/resolve_plan.hpp"
#include "src/train/state_cuts.hpp"
#include "src/train/training_run.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return {first, first + text.size()};
}

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

TrainingRun::TrainingRun(const JobSpec& job, const TrainOptions& options, const TrainServices& services)
    : job_(with_absolute_paths(job)),
      options_(options),
      services_(services),
      world_(services.world),
      began_(std::chrono::steady_clock::now()),
      saved_at_(began_),
      stop_wish_(services.signals, job_, began_) {}

TrainingRun::~TrainingRun() {
  if (services_.signals != nullptr) services_.signals->mark_in(nullptr);
}

void TrainingRun::note(const std::string& text) {
  if (!speaks()) return;
  if (reporter_)
    reporter_->note(text);
  else if (services_.progress != nullptr)
    *services_.progress << text << std::endl;
}

void TrainingRun::warn(const std::string& text) {
  if (speaks() && services_.progress == nullptr && services_.warnings != nullptr)
    *services_.warnings << text << std::endl;
  note(text);
}

void TrainingRun::agree_on_job() {
  const std::string resume = !options_.from.empty() ? options_.from.string() : options_.resume ? "auto" : "never";
  const std::map<std::string, std::string> mine{
      {"job", job_to_yaml(job_)}, {"--resume", resume}, {"--trace", options_.trace ? "given" : "not given"}};
  if (const std::string difference = first_difference(world_, mine); !difference.empty())
    throw UserError("ranks do not agree: " + difference);
}

void TrainingRun::agree_on_files() {
  const std::map<std::string, std::string> mine{{job_.model, model_fingerprint_},
                                                {job_.data.train, data_fingerprint_},
                                                {job_.data.eval, evaluation_fingerprint_}};
  if (const std::string difference = first_difference(world_, mine); !difference.empty())
    throw UserError("ranks do not see the same files: " + difference);
}

void TrainingRun::open_folder() {
  const auto opened = on_rank_0(world_, "opening the run folder", [&] {
    folder_.emplace(
        RunFolder::open(services_.files, job_.runs, job_.name, options_.resume ? RunStart::resume : RunStart::fresh));
    return bytes_of(folder_->path().string());
  });
  path_ = text_of(opened);
  result_.folder = path_;
  if (!services_.crowding.empty()) warn("warning: " + services_.crowding);
  if (folder_ && !folder_->warning().empty()) warn("warning: " + folder_->warning());
  if (folder_ && !folder_->moved_aside().empty())
    note(fmt::format("the former run was moved to {}", folder_->moved_aside().string()));
  tell_former_end();
  const auto started = on_rank_0(world_, "starting the run", [&] {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return bytes_of(std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count()));
  });
  together(world_, "noting what this rank does", [&] {
    const std::uint64_t run = std::stoull(text_of(started));
    last_operation_.emplace(path_, world_.rank(), world_.size(), run);
    last_operation_->enter(0, -1, "setting up");
    if (services_.mpi != nullptr)
      services_.mpi->set_flight_log(make_flight_log(path_, world_.rank(), world_.size(), run),
                                    [path = path_] { return compare_flights(path); });
    return std::vector<std::byte>{};
  });
  if (services_.mpi != nullptr)
    services_.mpi->set_describe_peer([path = path_](int rank) { return describe_rank(path, rank); });
  if (services_.signals != nullptr) {
    crash_notes_.emplace(*last_operation_);
    services_.signals->mark_in(&*last_operation_);
    TerminationWatch::Leave leave;
    if (services_.mpi != nullptr)
      leave = [this](const ExitReport& report) {
        std::fprintf(stderr, "weft: rank %d: %s\n", world_.rank(), report.message.c_str());
        std::fflush(nullptr);
        services_.mpi->abort_job(static_cast<int>(ExitCode::system));
      };
    termination_watch_.emplace(*services_.signals, path_, world_.rank(), *last_operation_, std::move(leave),
                               TerminationWatch::Patience{});
  }
}

/// A start that was killed could not say so itself: its rank records tell, and then make room for this start's.
void TrainingRun::tell_former_end() {
  on_rank_0(world_, "looking at the former start", [&] {
    const std::filesystem::path exit = path_ / "exit.json";
    std::optional<ExitReport> report = read_exit_json(exit);
    if (!report) report = compose_exit_report(path_, {true, {}});
    if (report && report->reason != ExitReason::completed && report->reason != ExitReason::stopped_signal &&
        report->reason != ExitReason::stopped_time)
      warn("the former start ended: " + report->message);
    if (services_.files.exists(exit)) services_.files.remove(exit);  // it is this start's from here on
    return std::vector<std::byte>{};
  });
}

void TrainingRun::load_model() {
  const auto phase = times_.enter("model file");
  JobModel model = open_model(world_, job_);
  model_file_.emplace(std::move(model.file));
  for (const std::string& warning : onnx::training_warnings(*model_file_)) warn("warning: " + warning);
  model_fingerprint_ = std::move(model.fingerprint);
}

void TrainingRun::open_data() {
  const auto phase = times_.enter("data");
  const JobData data = weft::open_data(world_, job_, *model_file_, job_.data.train);
  samples_ = data.samples;
  data_fingerprint_ = data.fingerprint;
  if (!job_.data.eval.empty()) {
    const JobData evaluation = weft::open_data(world_, job_, *model_file_, job_.data.eval);
    evaluation_samples_ = evaluation.samples;
    evaluation_fingerprint_ = evaluation.fingerprint;
  }
  length_ = run_length(job_, data.description);
  compiler_ = std::make_unique<StepCompiler>(*model_file_, job_, data.shapes, length_, services_.device.oracle());
  compiler_->note_times(&times_);
}

/// What the rank with the least has: ranks plan alike, also where nodes differ or hold different numbers of ranks.
std::int64_t TrainingRun::memory_for_each_rank() {
  std::int64_t bytes = services_.device.target().memory_bytes / world_.node_size();
  auto* data = reinterpret_cast<std::byte*>(&bytes);
  world_.start_all_reduce(data, data, 1, DType::i64, ReduceKind::min, {"comparing memory", 0, -1})->wait();
  return bytes;
}

void TrainingRun::agree_on_programs() {
  const std::string difference = first_program_difference(
      world_, plan_.mesh, programs_->programs(), {{"plan", plan_.json()}, {"device", services_.device.target().str()}});
  if (!difference.empty()) throw UserError("ranks do not agree: " + difference);
}

void TrainingRun::compile() {
  const std::int64_t memory = memory_for_each_rank();
  const FormerPlan former = former_plan();
  std::string remark;
  plan_ = resolve_plan(job_, world_.size(), *compiler_, memory, former, &remark);
  if (!remark.empty()) warn("warning: " + remark);
  if (former.passes && plan_.micro_batches != *former.passes && !job_.micro_batch)
    warn(
        fmt::format("warning: the run was cut into {} passes a step, which do not fit the memory that is there now: {} "
                    "passes instead, whose sums round differently",
                    *former.passes, plan_.micro_batches));
  programs_ = std::make_unique<ProgramSet>(*compiler_, plan_, world_.rank());
  const std::vector<std::int64_t> sizes = batch_sizes(samples_, job_.batch);
  programs_->need_training(sizes.front());
  if (sizes.size() > 1 && length_.total_steps >= length_.steps_per_epoch) programs_->need_training(sizes.back());
  for (const std::int64_t size : batch_sizes(evaluation_samples_, evaluation_batch(plan_)))
    programs_->need_evaluation(size);
  compiler_->forget_kept();
  agree_on_programs();

  load_states(sizes.front());

  if (world_.size() > 1) groups_ = std::make_unique<CommunicatorSet>(world_, plan_.mesh);
  // One rank of a node measures; the others take what earlier runs found. Schedules change no bit, so nothing differs.
  std::optional<double> tune;
  if (job_.compile.tune > 0) tune = world_.node_rank() == 0 ? job_.compile.tune : 0;
  const CompileSummary summary = programs_->build(services_.device, *states_, groups_.get(), tune,
                                                  [this] { return wish_to_stop() != StopKind::none; });
  result_.arena_bytes = summary.arena_bytes;
  result_.liveness_bound_bytes = summary.liveness_bound_bytes;
  result_.state_bytes = summary.state_bytes;
  predict(sizes.front());
  note(fmt::format(
      "compiled {} kernels in {:.2f} s; arena {:.1f} MiB (liveness bound {:.1f}), states {:.1f} MiB, {} on {}",
      summary.kernels, summary.seconds, static_cast<double>(summary.arena_bytes) / 1048576.0,
      static_cast<double>(summary.liveness_bound_bytes) / 1048576.0,
      static_cast<double>(summary.state_bytes) / 1048576.0, plan_.mesh.str(), services_.device.target().str()));
  if (!plan_.cuts.empty()) note(summary_of(plan_.cuts));
  const auto phase = times_.enter("data");
  together(world_, "reading the data", [&] {
    ReaderOptions reader = reader_options(job_, *compiler_, job_.data.train, sizes.front(), plan_.mesh, world_.rank());
    for (const std::int64_t size : sizes) reader.passes[size] = compiler_->pass_samples_of(size, plan_);
    reader_ = std::make_unique<BatchReader>(reader);
    if (evaluation_samples_ > 0)
      evaluator_ = std::make_unique<Evaluator>(*programs_, evaluation_reader(reader, job_.data.eval, plan_));
    return std::vector<std::byte>{};
  });
}

void TrainingRun::load_states(std::int64_t step_samples) {
  const auto phase = times_.enter("states");
  states_ = std::make_unique<StateTable>(services_.device);
  // Each value is held once: by the file, then by the model, then by the states.
  std::set<std::string> placed;
  for (const ModelState& state : compiler_->model(step_samples).states) placed.insert(state.name);
  model_file_->forget_values(placed);
  add_model_states(*states_, compiler_->model(step_samples), *programs_);
  compiler_->forget_initial_values();
  for (const auto& [name, state] : programs_->added_states())
    states_->add(name, state.initial, state.scope,
                 programs_->shard(name, {state.initial.dtype(), state.initial.shape()}));
  parameters_ = {programs_->trained().begin(), programs_->trained().end()};
}

void TrainingRun::predict(std::int64_t step_samples) {
  std::vector<const Program*> passes;
  for (const TrainingPass& pass : programs_->training(step_samples)) passes.push_back(&pass.executor->program());
  const int nodes = (world_.size() + world_.node_size() - 1) / world_.node_size();
  result_.predicted = simulate_placed(passes, options_.costs ? &*options_.costs : nullptr, {plan_.mesh, nodes});
}

/// Before anything is compiled: how a step was cut into passes stays as it was.
void TrainingRun::load() {
  const auto phase = times_.enter("checkpoint");
  std::vector<RejectedCheckpoint> passed_over;
  const std::filesystem::path folder = path_ / "checkpoints";
  if (!options_.from.empty())
    former_ = load_checkpoint(world_, services_.files, options_.from);
  else if (options_.resume)
    former_ = load_newest(world_, services_.files, folder, passed_over);
  for (const RejectedCheckpoint& r : passed_over) warn(fmt::format("passing over {}: {}", r.path.string(), r.reason));
  if (!former_) return;
  if (former_->meta.model_fingerprint != model_fingerprint_)
    throw UserError(
        fmt::format("{} was made from another model file than {}. Use that model, or start afresh with --resume never",
                    former_->path.string(), job_.model));
  check_same_data_position(*former_);
}

FormerPlan TrainingRun::former_plan() const {
  if (!former_ || former_->meta.plan.empty()) return {};
  const Plan plan = Plan::parse(former_->meta.plan);
  const Mesh mesh = unsplit_plan(job_, world_.size()).mesh;
  FormerPlan former;
  if (plan.mesh.axis_size("data") == mesh.axis_size("data")) former.passes = plan.micro_batches;
  const JobSpec before = parse_job(former_->meta.job, former_->path.string(), job_.directory);
  const ParallelSpec &then = before.parallel, &now = job_.parallel;
  if (plan.mesh == mesh && then.split == now.split && then.zero == now.zero) former.cuts = plan.cuts;
  return former;
}

void TrainingRun::restore() {
  const auto phase = times_.enter("checkpoint");
  const std::filesystem::path folder = path_ / "checkpoints";
  if (former_) {
    check_fits(*former_, states_of(*states_, parameters_));
    weft::restore(world_, services_.files, *states_, *former_);
    result_.first_step = saved_step_ = former_->meta.step;
    on_rank_0(world_, "setting later checkpoints aside", [&] {
      for (const auto& later : set_aside_after(services_.files, folder, result_.first_step))
        warn(fmt::format("set aside: {}", later.string()));
      return std::vector<std::byte>{};
    });
    note(fmt::format("{} {} (step {} of {})",
                     result_.first_step < length_.total_steps ? "resuming from" : "nothing is left to train after",
                     former_->path.string(), result_.first_step, length_.total_steps));
    former_.reset();
  }
  result_.steps = result_.first_step;
  reader_->seek(result_.first_step / length_.steps_per_epoch, result_.first_step % length_.steps_per_epoch);
}

/// Step numbers mean the same samples only under the same batch, order and data.
void TrainingRun::check_same_data_position(const LoadedCheckpoint& loaded) const {
  const JobSpec before = parse_job(loaded.meta.job, loaded.path.string(), job_.directory);
  const auto differs = [&](std::string_view key, const std::string& then, const std::string& now) {
    if (then != now)
      throw UserError(
          fmt::format("{} was made with {}: {}, the job says {}. Restore that, or start afresh with --resume never",
                      loaded.path.string(), key, then, now));
  };
  differs("batch", std::to_string(before.batch), std::to_string(job_.batch));
  differs("seed", std::to_string(before.seed), std::to_string(job_.seed));
  // f32 and bf16 have the same states; f16 has the loss scale besides.
  if ((before.precision == DType::f16) != (job_.precision == DType::f16))
    differs("precision", std::string(name_of(before.precision)), std::string(name_of(job_.precision)));
  differs("data.shuffle", before.data.shuffle ? "true" : "false", job_.data.shuffle ? "true" : "false");
  differs("optimizer.name", before.optimizer.name, job_.optimizer.name);
  if (loaded.meta.data_fingerprint != data_fingerprint_)
    throw UserError(
        fmt::format("{} was made from other training data than {}. Use that data, or start afresh with --resume never",
                    loaded.path.string(), job_.data.train));
}

void TrainingRun::begin() {
  check_replicas(world_, *states_, result_.first_step);

  on_rank_0(world_, "writing the run folder", [&] {
    folder_->write_job(job_to_yaml(job_));
    folder_->write_plan(plan_.json());
    ReporterOptions options;
    options.first_step = result_.first_step;
    options.total_steps = length_.total_steps;
    options.total_epochs = job_.steps ? 0 : job_.epochs;
    options.log_every = job_.log_every > 0 ? job_.log_every : std::max<std::int64_t>(1, length_.total_steps / 5000);
    reporter_ = std::make_unique<Reporter>(services_.files, *folder_, services_.progress, options);
    return std::vector<std::byte>{};
  });
}

}  // namespace weft
