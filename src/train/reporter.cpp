// Log lines, events and progress from one set of numbers.
#include "src/train/reporter.hpp"

#include <fmt/format.h>

namespace weft {

Reporter::Reporter(FileSystem& files, const RunFolder& folder, std::ostream* progress, ReporterOptions options)
    : options_(options),
      log_(files, folder.log(), options.first_step),
      events_(files, folder.path(), options.first_step) {
  if (progress != nullptr)
    progress_ = std::make_unique<Progress>(*progress, ProgressStyle::of_standard_error(), options.first_step);
}

void Reporter::step(const StepNumbers& n) {
  seconds_ += n.seconds;
  samples_ += n.samples;
  communication_ += n.communication.value_or(0);
  exposed_ += n.exposed.value_or(0);
  ++steps_;
  if (progress_) {
    ProgressState state{n.step, options_.total_steps, n.epoch, options_.total_epochs, n.loss, {}, n.metrics};
    state.samples_per_s = static_cast<double>(samples_) / seconds_;
    progress_->update(state);
  }
  // Which steps are logged does not depend on where a run was resumed.
  if (n.step % options_.log_every != 0 && n.step != options_.total_steps && n.step != 1 && !n.skipped) return;
  const double rate = static_cast<double>(samples_) / seconds_,
               milliseconds = 1e3 * seconds_ / static_cast<double>(steps_);
  LogRecord record;
  record.step = n.step;
  record.epoch = n.epoch;
  record.skipped = n.skipped;
  record.loss = n.loss;
  record.lr = n.lr;
  record.samples_per_s = rate;
  record.step_ms = milliseconds;
  if (n.communication) record.comm_ms = 1e3 * communication_ / static_cast<double>(steps_);
  if (n.exposed) record.exposed_comm_ms = 1e3 * exposed_ / static_cast<double>(steps_);
  record.metrics = n.metrics;
  log_.write(record);
  std::vector<ScalarValue> values{
      {"train/loss", n.loss}, {"train/lr", n.lr}, {"speed/samples_per_s", rate}, {"speed/step_ms", milliseconds}};
  if (record.comm_ms) values.push_back({"speed/comm_ms", *record.comm_ms});
  if (record.exposed_comm_ms) values.push_back({"speed/exposed_comm_ms", *record.exposed_comm_ms});
  for (const auto& [name, value] : n.metrics) values.push_back({"train/" + name, value});
  events_.write(n.step, values);
  seconds_ = communication_ = exposed_ = 0;
  samples_ = steps_ = 0;
}

void Reporter::evaluation(std::int64_t step, double epoch, const std::vector<std::pair<std::string, double>>& totals) {
  LogRecord record;
  record.step = step;
  record.epoch = epoch;
  record.eval = true;
  std::vector<ScalarValue> values;
  std::string text = fmt::format("evaluation after epoch {:.3g} (step {}):", epoch, step);
  for (const auto& [name, value] : totals) {
    if (name == "loss")
      record.loss = value;
    else
      record.metrics.emplace_back(name, value);
    values.push_back({"eval/" + name, value});
    text += fmt::format("  {} {:.4f}", name, value);
  }
  note(text);
  if (step <= log_.last_evaluated()) return;
  log_.write(record);
  events_.write(step, values);
}

void Reporter::note(const std::string& text) {
  if (progress_) progress_->note(text);
}

void Reporter::finish() {
  if (progress_) progress_->finish();
}

}  // namespace weft
