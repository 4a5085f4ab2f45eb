// The second half of a run: steps, evaluation and checkpoints.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "comm/agreement.hpp"
#include "graph/training/loss_scaling.hpp"
#include "src/checkpoint/replicas.hpp"
#include "src/checkpoint/save.hpp"
#include "src/faults/rank_records.hpp"
#include "src/job/job_file.hpp"
#include "src/train/step_agreement.hpp"
#include "src/train/stragglers.hpp"
#include "src/train/training_run.hpp"
#include "weft/error.hpp"
#include "weft/version.hpp"

namespace weft {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr std::int64_t kTracedSteps = 5;
constexpr double kGuessedSaveRate = 200e6;  // bytes/s
constexpr double kLeavingSeconds = 1;       // for ranks to part and files to close, beside the save
constexpr std::ptrdiff_t kRecentSteps = 20;

/// Notes the instruction that is about to run where it survives a kill.
class OperationNotes final : public ExecutionObserver {
 public:
  OperationNotes(LastOperationFile& notes, std::int64_t step) : notes_(notes), step_(step) {}
  void begin(const Program& program, int n) override {
    const Instruction& i = program.instructions[static_cast<std::size_t>(n)];
    notes_.enter(step_, n, i.name, i.kind == InstructionKind::wait ? RankState::waiting : RankState::running);
  }
  bool end(const Program&, int) override { return true; }

 private:
  LastOperationFile& notes_;
  std::int64_t step_;
};

}  // namespace

bool TrainingRun::run_pass(const TrainingPass& pass, const Batch& batch, std::int64_t step,
                           ExecutionObserver& observer) {
  std::int64_t local_offset = 0;  // a rank's batch is its shares of all passes, one after the other
  for (const TrainingPass& earlier : programs_->training(batch.global_count)) {
    if (earlier.spec.offset >= pass.spec.offset) break;
    local_offset += programs_->share(earlier.spec.samples).count;
  }
  const SampleRange share = programs_->share(pass.spec.samples);
  const Tensor offset = Tensor::scalar(pass.spec.offset), rank_offset = Tensor::scalar(share.first);
  bind_feeds(*pass.executor, batch, local_offset, share.count, offset, rank_offset);
  return pass.executor->run(step, &observer);
}

StepNumbers TrainingRun::run_step(std::int64_t step) {
  const auto entered = Clock::now();
  last_operation_->enter(step, -1, "waiting for the batch");
  const Batch& batch = reader_->next();
  const auto start = Clock::now();
  const std::vector<TrainingPass>& passes = programs_->training(batch.global_count);
  OperationNotes notes(*last_operation_, step);
  CommunicationTimes communication;
  for (const TrainingPass& pass : passes) {
    LossGuard guard(*pass.executor);
    Observers observers;
    observers.add(notes);
    observers.add(communication);
    if (!has_loss_scale()) observers.add(guard);
    if (options_.trace && step <= result_.first_step + kTracedSteps) {
      tracer_.set_step(step);
      observers.add(tracer_);
    }
    if (!run_pass(pass, batch, step, observers)) diverged_in_forward(step, batch);
  }
  const Executor& last = *passes.back().executor;
  StepNumbers numbers;
  numbers.skipped = last.fetch("finite").as_int(0) == 0;
  if (numbers.skipped && !has_loss_scale()) diverged_in_backward(step);
  numbers.step = step;
  numbers.epoch = static_cast<double>(step) / static_cast<double>(length_.steps_per_epoch);
  numbers.loss = last.fetch("loss").as_double(0);
  numbers.lr = last.fetch("lr").as_double(0);
  numbers.seconds = seconds_since(start);
  numbers.samples = batch.global_count;
  if (world_.size() > 1) {
    numbers.communication = communication.in_flight();
    numbers.exposed = communication.exposed();
    communication_seconds_.push_back(*numbers.communication);
    exposed_seconds_.push_back(*numbers.exposed);
  }
  numbers.busy = seconds_since(entered) - communication.exposed();
  for (const std::string& metric : job_.metrics) numbers.metrics.emplace_back(metric, last.fetch(metric).as_double(0));
  if (has_loss_scale()) {
    const double scale = last.fetch(kUsedLossScale).as_double(0);
    numbers.metrics.emplace_back(kLossScale, scale);
    if (numbers.skipped) skipped(step, scale);
  }
  return numbers;
}

void TrainingRun::skipped(std::int64_t step, double scale) {
  if (scale <= kSmallestLossScale) {
    finish_save(step);
    throw UserError(fmt::format(
        "the loss or a gradient is not a finite number at step {}, even with a loss scale of {}: {}. {}. Lower "
        "optimizer.lr, add optimizer.clip_norm, set precision: bf16, or look for such values in the data",
        step, scale, first_non_finite_state(), what_is_left()));
  }
  note(fmt::format("step {} was skipped: a gradient overflowed with a loss scale of {}; it is {} now", step, scale,
                   scale / 2));
}

void TrainingRun::diverged_in_forward(std::int64_t step, const Batch& batch) {
  finish_save(step);
  // Nothing has been updated yet: the same passes again, on all ranks, looking at every result. They may update now;
  // the run is over.
  std::string mine;  // when, in digits of which the smallest is the earliest, and what
  for (const TrainingPass& pass : programs_->training(batch.global_count)) {
    NonFiniteFinder finder(*pass.executor);
    run_pass(pass, batch, step, finder);
    if (mine.empty() && !finder.found().empty())
      mine = fmt::format("{:012}{:08}{}", pass.spec.offset, finder.collectives_before(), finder.found());
  }
  constexpr std::size_t kDigits = 20;
  const auto all =
      gather_bytes(world_, std::as_bytes(std::span(mine.data(), mine.size())), "looking for the first bad value");
  std::string cause = first_non_finite_state(), earliest;
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    const std::string_view found(reinterpret_cast<const char*>(all[rank].data()), all[rank].size());
    if (found.empty() || (!earliest.empty() && found.substr(0, kDigits) >= earliest)) continue;
    earliest = found.substr(0, kDigits);
    cause = fmt::format("{}{}", world_.size() > 1 ? fmt::format("on rank {}, ", rank) : "", found.substr(kDigits));
  }
  throw UserError(
      fmt::format("the loss is not a finite number at step {}: {}. {}. Lower optimizer.lr, add schedule.warmup or "
                  "optimizer.clip_norm, or look for such values in the data",
                  step, cause, what_is_left()));
}

std::string TrainingRun::what_is_left() const {
  return saved_step_ == 0
             ? "There is no checkpoint yet"
             : fmt::format("Nothing was saved of this step; the checkpoint of step {} is good", saved_step_);
}

/// Each rank looks at its parts.
std::string TrainingRun::first_non_finite_state() const {
  const std::vector<std::string>& names = programs_->trained();
  const auto has_bad = [&](const std::string& name) {
    const Tensor value = states_->read(name);
    for (std::int64_t i = 0; i < value.elements(); ++i)
      if (!std::isfinite(value.as_double(i))) return true;
    return false;
  };
  auto first = static_cast<std::int64_t>(std::find_if(names.begin(), names.end(), has_bad) - names.begin());
  auto* data = reinterpret_cast<std::byte*>(&first);
  world_.start_all_reduce(data, data, 1, DType::i64, ReduceKind::min, {"looking for the first bad parameter", 0, -1})
      ->wait();
  if (first < std::ssize(names))
    return fmt::format("parameter '{}' holds a value that is not a finite number",
                       names[static_cast<std::size_t>(first)]);
  return "all parameters are finite before it: the forward pass overflowed, or the data holds such values";
}

void TrainingRun::diverged_in_backward(std::int64_t step) {
  finish_save(step);
  throw UserError(fmt::format(
      "a gradient is not a finite number at step {} (the loss still was): {}. {}. Lower optimizer.lr or add "
      "optimizer.clip_norm",
      step, first_non_finite_state(), what_is_left()));
}

bool TrainingRun::checkpoint_due(std::int64_t step) const {
  const CheckpointSpec& c = job_.checkpoint;
  switch (c.unit) {
    case CheckpointSpec::Unit::never:
    case CheckpointSpec::Unit::minutes: return false;  // minutes: the agreement says
    case CheckpointSpec::Unit::steps: return step % static_cast<std::int64_t>(c.every) == 0;
    case CheckpointSpec::Unit::epochs: break;
  }
  // Every `every` epochs, fractions included: when the number of whole intervals done grows.
  const auto intervals = [&](std::int64_t s) {
    return static_cast<std::int64_t>(static_cast<double>(s) / static_cast<double>(length_.steps_per_epoch) / c.every +
                                     1e-9);
  };
  return intervals(step) > intervals(step - 1);
}

CheckpointMeta TrainingRun::meta(std::int64_t step) const {
  CheckpointMeta m;
  m.step = step;
  m.epoch = step / length_.steps_per_epoch;
  m.batch_in_epoch = step % length_.steps_per_epoch;
  m.samples_seen = m.epoch * samples_ + std::min(m.batch_in_epoch * job_.batch, samples_);
  m.seed = job_.seed;
  m.job = job_to_yaml(job_);
  m.plan = plan_.json();
  m.model_fingerprint = model_fingerprint_;
  m.data_fingerprint = data_fingerprint_;
  m.weft_version = version();
  return m;
}

void TrainingRun::save(std::int64_t step, bool beside) {
  finish_save(step);
  last_operation_->enter(step, -1, "saving a checkpoint", RankState::saving);
  check_replicas(world_, *states_, step);
  const StateSource states = states_of(*states_, parameters_);
  const std::filesystem::path folder = path_ / "checkpoints";
  const int keep = job_.checkpoint.keep;
  background_step_ = step;
  const bool begun = beside && background_save_.begin(folder, states, meta(step), keep);
  if (!begun) saved(save_checkpoint(world_, folder, states, meta(step), services_.files, keep), step);
  if (beside && !begun && !std::exchange(told_of_waiting_, true))
    note(
        "training waits while checkpoints are written: a copy of the states beside them would take more than half of "
        "the memory that is free");
  saved_at_ = Clock::now();
}

void TrainingRun::finish_save(std::int64_t step) {
  if (!background_save_.in_flight()) return;
  last_operation_->enter(step, -1, "waiting for a checkpoint to be written", RankState::saving);
  if (const auto report = background_save_.finish()) saved(*report, background_step_);
}

void TrainingRun::saved(const SaveReport& report, std::int64_t step) {
  if (!report.warning.empty()) warn("warning: " + report.warning);
  save_seconds_ = report.seconds;
  saved_step_ = step;
}

double TrainingRun::expected_save_seconds() const {
  // Before the first save there is only a guess: a slow disk's rate.
  return 1.5 * (save_seconds_ > 0 ? save_seconds_ : static_cast<double>(result_.state_bytes) / kGuessedSaveRate);
}

StopKind TrainingRun::wish_to_stop() const {
  // What is wished before a step ends the run after it: the next wish would end it after one more.
  const double step = step_seconds_.empty()
                          ? 0
                          : *std::max_element(step_seconds_.end() - std::min(kRecentSteps, std::ssize(step_seconds_)),
                                              step_seconds_.end());
  const int saves = background_save_.in_flight() ? 2 : 1;
  return stop_wish_.now(2 * step + saves * expected_save_seconds() + kLeavingSeconds);
}

bool TrainingRun::time_to_save(const StopDecision& stop, int saves) {
  if (stop.kind != StopKind::terminate) return true;
  const auto answer = on_rank_0(world_, "judging the time left to save", [&] {
    const auto since = services_.signals != nullptr ? services_.signals->since_terminate() : std::nullopt;
    const double gone = since ? std::chrono::duration<double>(*since).count() : 0;
    return std::vector<std::byte>{
        static_cast<std::byte>(gone + saves * expected_save_seconds() < services_.terminate_grace)};
  });
  return answer.at(0) != std::byte{0};
}

StopDecision TrainingRun::evaluate(std::int64_t step) {
  if (!evaluator_) return {};
  last_operation_->enter(step, -1, "evaluating");
  Evaluation evaluation = evaluator_->run(step, world_, [this] { return wish_to_stop(); });
  if (evaluation.stop) {
    note(fmt::format("the evaluation after step {} was left at sample {} of {}: {}", step, evaluation.samples,
                     evaluation_samples_, reason_of(evaluation.stop)));
    return evaluation.stop;
  }
  result_.evaluation = std::move(evaluation.totals);
  if (reporter_)
    reporter_->evaluation(step, static_cast<double>(step) / static_cast<double>(length_.steps_per_epoch),
                          result_.evaluation);
  for (const auto& [name, value] : result_.evaluation)
    if (!std::isfinite(value))
      warn(fmt::format(
          "warning: the evaluation after step {} gave a {} that is not a finite number, and training goes on: "
          "look for such values in {} (`weft data show`)",
          step, name, job_.data.eval));
  return {};
}

/// A stop at the end of an epoch left the time for a checkpoint, not for the evaluation that is due there.
StopDecision TrainingRun::make_up_for_evaluation() {
  const std::int64_t step = result_.first_step;
  if (step == 0 || step % length_.steps_per_epoch != 0 || step >= length_.total_steps) return {};
  const auto due = on_rank_0(world_, "reading the log", [&] {
    return std::vector<std::byte>{static_cast<std::byte>(reporter_->last_evaluated() < step)};
  });
  return due.at(0) != std::byte{0} ? evaluate(step) : StopDecision{};
}

void TrainingRun::leave(const StopDecision& stop, std::int64_t step) {
  const bool writing = background_save_.in_flight();
  const bool good = time_to_save(stop, writing ? 2 : 1);
  if (good)
    save(step);
  else if (writing && time_to_save(stop, 1))
    finish_save(step);
  stopped_by_ = stop.kind;
  result_.reason = fmt::format("{}, at step {} of {}", reason_of(stop), step, length_.total_steps);
  if (!good)
    result_.reason += fmt::format("; no time was left to save: the newest checkpoint is of step {}", saved_step_);
  if (saved_step_ == 0) throw SystemError(result_.reason + ". There is no checkpoint to go on from");
}

std::string TrainingRun::remark_on(const Straggler& s) const {
  const auto record = read_last_operation(rank_record_path(path_, s.rank));
  return fmt::format(
      "warning: rank {} (host {}) is slow: its own work takes {:.1f} ms a step, that of the median rank {:.1f} ms "
      "({:+.0f} %), and the others wait for it",
      s.rank, record ? record->host : "unknown", 1e3 * s.seconds, 1e3 * s.median, 100 * (s.seconds / s.median - 1));
}

void TrainingRun::train_steps() {
  result_.startup = times_.times();
  for (const PhaseTime& phase : result_.startup) result_.seconds_to_first_step += phase.seconds;
  note("ready for the first step after " + times_.text());
  if (const StopDecision stop = make_up_for_evaluation()) return leave(stop, result_.first_step);
  StepAgreement agreement(world_);
  StragglerWatch stragglers(world_);
  const bool timed = job_.checkpoint.unit == CheckpointSpec::Unit::minutes;
  for (std::int64_t step = result_.first_step + 1; step <= length_.total_steps; ++step) {
    const bool minutes_passed = timed && seconds_since(saved_at_) > 60 * job_.checkpoint.every;
    agreement.propose(wish_to_stop(), minutes_passed, step, background_save_.busy());
    const StepNumbers numbers = run_step(step);
    step_seconds_.push_back(numbers.seconds);
    result_.steps = step;
    result_.loss = numbers.loss;
    result_.metrics = numbers.metrics;
    if (reporter_) reporter_->step(numbers);
    if (const auto straggler = stragglers.step(numbers.busy)) warn(remark_on(*straggler));
    if (job_.check_replicas_every > 0 && step % job_.check_replicas_every == 0) check_replicas(world_, *states_, step);

    StepDecision decision = agreement.decide();
    if (background_save_.in_flight() && !decision.writing)
      if (const auto report = background_save_.poll()) saved(*report, background_step_);
    const bool last = step == length_.total_steps;
    if (step % length_.steps_per_epoch == 0 && !last && !decision.stop) decision.stop = evaluate(step);
    if (decision.stop && !last) return leave(decision.stop, step);
    if (last)
      save(step);
    else if (decision.save || checkpoint_due(step))
      save(step, true);
  }
  result_.complete = true;
  result_.reason = "completed";
  if (result_.first_step == length_.total_steps)
    result_.reason = "its newest checkpoint is already that of the job's last step";
  if (result_.first_step > length_.total_steps)
    result_.reason = fmt::format(
        "its newest checkpoint is of step {}, beyond the job's last step {}: raise steps or epochs to go on from it, "
        "or "
        "start afresh with --resume never",
        result_.first_step, length_.total_steps);
}

}  // namespace weft
