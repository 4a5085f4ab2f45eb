// weft eval: loss and metrics of a checkpoint on the evaluation set.
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "src/cli/all_ranks.hpp"
#include "src/cli/verbs.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"
#include "src/train/evaluation.hpp"

namespace weft::cli {
namespace {

void print_text(const JobSpec& job, const EvaluationResult& r) {
  if (r.stopped.empty())
    fmt::print("{} at step {}: {} samples of {} in {:.2f} s\n", job.name, r.step, r.samples, job.data.eval, r.seconds);
  else
    fmt::print("{} at step {}: stopped after {} of {} samples of {} in {:.2f} s: {}; these are of the samples seen\n",
               job.name, r.step, r.evaluated, r.samples, job.data.eval, r.seconds, r.stopped);
  std::size_t width = 10;
  for (const auto& [name, value] : r.totals) width = std::max(width, name.size());
  for (const auto& [name, value] : r.totals) fmt::print("  {:{}}  {:.6g}\n", name, width, value);
  fmt::print("  {:{}}  {}\n", "checkpoint", width, r.checkpoint.string());
}

void print_json(const JobSpec& job, const EvaluationResult& r) {
  nlohmann::ordered_json totals = nlohmann::ordered_json::object();
  for (const auto& [name, value] : r.totals) totals[name] = value;
  const nlohmann::ordered_json out{{"name", job.name},      {"step", r.step},
                                   {"evaluation", totals},  {"samples", r.evaluated},
                                   {"of", r.samples},       {"complete", r.stopped.empty()},
                                   {"data", job.data.eval}, {"checkpoint", r.checkpoint.string()},
                                   {"seconds", r.seconds}};
  fmt::print("{}\n", out.dump(2));
}

}  // namespace

ExitCode run_eval(const Arguments& arguments) {
  Options options("eval", "Loss and metrics of a job's evaluation set (data.eval) with the weights of a checkpoint.");
  options.argument("JOB.yaml", "the job file")
      .value("checkpoint", "latest|F", "latest: the newest valid checkpoint of the run folder; or a checkpoint file",
             "latest")
      .list("set", "KEY=VALUE", "overrides a key of the job, as in data.eval=other.h5; may be repeated")
      .flag("json", "the result as JSON")
      .note(
          "The same command runs alone, under mpirun and under srun. With latest, damaged checkpoints are named and "
          "passed over; a damaged file that is named is an error.")
      .note(
          "A stop signal or Ctrl-C finishes the batch, shows the totals of the samples seen so far, and leaves with "
          "75; "
          "nothing is kept.")
      .example("weft eval job.yaml")
      .example("weft eval job.yaml --checkpoint runs/fashion/checkpoints/step-938.h5")
      .example("mpirun -n 2 weft eval job.yaml --set metrics=[accuracy,top5]");
  if (!options.parse(arguments)) return ExitCode::ok;
  const StopSignals signals;
  return on_all_ranks([&](World& world, const LaunchInfo&) {
    const JobSpec job = read_job(options.text("JOB.yaml"), options.texts("set"));
    if (world.runtime)
      world.runtime->set_timeout(std::chrono::milliseconds(static_cast<std::int64_t>(1e3 * job.timeout_seconds)));
    const auto device =
        make_device(job.device, {world.communicator->node_size(), job.threads}, job.deterministic, job.math == "fast");
    PosixFileSystem files;
    const std::string& checkpoint = options.text("checkpoint");
    EvaluationServices services{*world.communicator, *device, files, &std::cerr, &signals};
    const EvaluationResult result = evaluate_checkpoint(job, checkpoint == "latest" ? "" : checkpoint, services);
    if (world.communicator->rank() == 0) options.has("json") ? print_json(job, result) : print_text(job, result);
    return result.stopped.empty() ? ExitCode::ok : ExitCode::stopped_early;
  });
}

}  // namespace weft::cli
