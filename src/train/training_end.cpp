// How a run ends: the trained model, the trace, and what is kept of a failure.
#include <algorithm>

#include "comm/agreement.hpp"
#include "graph/onnx/export.hpp"
#include "src/checkpoint/gather.hpp"
#include "src/faults/exit_report.hpp"
#include "src/train/training_run.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

void TrainingRun::export_model() {
  std::set<std::string> names;
  for (const ModelState& state : compiler_->model(batch_sizes(samples_, job_.batch).front()).states)
    names.insert(state.name);
  const auto holder_of = [&](const std::string& name) {
    const auto tied = programs_->tied().find(name);
    return tied == programs_->tied().end() ? name : tied->second;
  };
  std::map<std::string, Tensor> whole;  // on rank 0: of states that are cut
  for (const std::string& name : names)
    if (const std::string holder = holder_of(name); programs_->is_cut(holder) && !whole.count(holder))
      whole[holder] = gather_state(world_, *states_, holder);
  on_rank_0(world_, "writing the trained model", [&] {
    const auto read = [&](const std::string& name) -> onnx::TrainedValue {
      const std::string holder = holder_of(name);
      const TensorType& type = states_->at(holder).shard.whole;
      return {type.dtype, type.shape, [&, holder](std::int64_t offset, std::span<std::byte> to) {
                const auto gathered = whole.find(holder);
                if (gathered == whole.end()) return states_->read_bytes(holder, offset, to);
                std::copy_n(gathered->second.data() + offset, to.size(), to.data());
              }};
    };
    onnx::export_model(*model_file_, names, read, folder_->model());
    return std::vector<std::byte>{};
  });
}

void TrainingRun::finish() {
  if (result_.complete) {
    if (const StopDecision stop =
            evaluate(result_.steps)) {  // the last step is saved: the same command makes up for it
      result_.complete = false;
      stopped_by_ = stop.kind;
      result_.reason = fmt::format("{}, in the evaluation after the last step", reason_of(stop));
    }
  }
  if (result_.complete) export_model();
  if (options_.trace) {
    const auto packed = gather_bytes(world_, tracer_.pack(), "collecting the trace");
    on_rank_0(world_, "writing the trace", [&] {
      std::vector<std::vector<TraceEvent>> ranks;
      for (const auto& bytes : packed) ranks.push_back(Tracer::unpack(bytes));
      write_whole_file(services_.files, folder_->trace(), Tracer::chrome_json(ranks));
      return std::vector<std::byte>{};
    });
  }
  result_.median_step_seconds = median(step_seconds_);
  if (!communication_seconds_.empty()) {
    result_.communication_seconds = median(communication_seconds_);
    result_.exposed_seconds = median(exposed_seconds_);
  }
  if (result_.median_step_seconds > 0)
    result_.samples_per_second = static_cast<double>(job_.batch) / result_.median_step_seconds;
  if (reporter_) reporter_->finish();
}

TrainResult TrainingRun::run() {
  try {
    agree_on_job();
    open_folder();
    load_model();
    open_data();
    agree_on_files();
    load();
    compile();
    restore();
    begin();
    train_steps();
    finish();
  } catch (const std::exception& error) {
    record_failure(error);
    throw;
  }
  const ExitReason reason = result_.complete                ? ExitReason::completed
                            : stopped_by_ == StopKind::time ? ExitReason::stopped_time
                                                            : ExitReason::stopped_signal;
  last_operation_->finish(result_.complete ? RankState::completed : RankState::stopped, reason, result_.reason);
  if (speaks()) write_exit_json(path_ / "exit.json", {reason, -1, result_.steps, "", result_.reason});
  return result_;
}

void TrainingRun::record_failure(const std::exception& error) noexcept {
  if (!last_operation_) return;
  ExitReason reason = ExitReason::internal_error;
  if (services_.mpi != nullptr && services_.mpi->broken())
    reason = ExitReason::lost_peer;
  else if (dynamic_cast<const UserError*>(&error) != nullptr)
    reason = ExitReason::user_error;
  else if (dynamic_cast<const SystemError*>(&error) != nullptr)
    reason = ExitReason::system_error;
  last_operation_->finish(RankState::failed, reason, error.what());
  try {
    // Any rank may be the only one that still can. Of ranks on other hosts it knows what their records show.
    ComposeOptions known;
    const auto told = services_.signals != nullptr ? services_.signals->since_terminate() : std::nullopt;
    if (reason == ExitReason::lost_peer && told && *told > TerminationWatch::Patience{}.marks)
      known.missing_ranks = untold_elsewhere(path_);
    if (const auto report = compose_exit_report(path_, known)) write_exit_json(path_ / "exit.json", *report);
  } catch (const std::exception&) {
    // The rank records stay, and the next start reads them.
  }
}

TrainResult train(const JobSpec& job, const TrainOptions& options, const TrainServices& services) {
  return TrainingRun(job, options, services).run();
}

}  // namespace weft
