// weft train: runs a job, and says how it went.
#include "src/run/text.hpp"
#include "src/train/trainer.hpp"

#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "scheduler/step_report.hpp"
#include "src/cli/all_ranks.hpp"
#include "src/cli/verbs.hpp"
#include "src/devices/devices.hpp"
#include "src/job/job_file.hpp"
#include "src/launch/site_costs.hpp"

namespace weft::cli {
namespace {

/// Seconds between SIGTERM and SIGKILL: Open MPI's odls_base_sigkill_timeout and Slurm's KillWait, by default, with a
/// margin; alone, nobody follows.
double terminate_grace(Launcher launcher) {
  switch (launcher) {
    case Launcher::open_mpi: return 0.8;
    case Launcher::slurm: return 25;
    case Launcher::pmi: return 0.8;
    case Launcher::none: break;
  }
  return 3600;
}

std::string listed(const std::vector<std::pair<std::string, double>>& values) {
  std::string text;
  for (const auto& [name, value] : values) text += fmt::format("{}{} {:.4f}", text.empty() ? "" : "  ", name, value);
  return text;
}

void print_text(const JobSpec& job, const TrainResult& r) {
  const bool nothing_left = r.complete && r.steps == r.first_step;
  if (nothing_left)
    fmt::print("{}: nothing was left to train: {}\n", job.name, r.reason);
  else
    fmt::print("{} {} after step {}: {}\n", job.name, r.complete ? "is trained" : "stopped", r.steps, r.reason);
  if (r.steps > r.first_step) {
    std::vector<std::pair<std::string, double>> last{{"loss", r.loss}};
    last.insert(last.end(), r.metrics.begin(), r.metrics.end());
    fmt::print("  last step    {}\n", listed(last));
  }
  if (!r.evaluation.empty()) fmt::print("  evaluation   {}\n", listed(r.evaluation));
  if (r.median_step_seconds > 0) {
    fmt::print("  {}\n", step_time_line(*r.predicted, r.median_step_seconds));
    fmt::print("  speed        {:.0f} samples/s; {:.2f} s to the first step\n", r.samples_per_second,
               r.seconds_to_first_step);
  }
  if (r.communication_seconds)
    fmt::print("  collectives  {:.2f} ms a step in flight, of which {:.2f} ms are waited for\n",
               1e3 * *r.communication_seconds, 1e3 * *r.exposed_seconds);
  fmt::print("  memory       arena {:.1f} MiB (liveness bound {:.1f}), states {:.1f} MiB a rank\n",
             mebibytes(r.arena_bytes), mebibytes(r.liveness_bound_bytes), mebibytes(r.state_bytes));
  fmt::print("  files        {}\n", r.folder.string());
}

void print_json(const JobSpec& job, const TrainResult& r) {
  const auto object = [](const std::vector<std::pair<std::string, double>>& values) {
    nlohmann::ordered_json o = nlohmann::ordered_json::object();
    for (const auto& [name, value] : values) o[name] = value;
    return o;
  };
  nlohmann::ordered_json startup = nlohmann::ordered_json::object();
  for (const PhaseTime& p : r.startup) startup[p.name] = p.seconds;
  nlohmann::ordered_json out{{"name", job.name},
                             {"complete", r.complete},
                             {"reason", r.reason},
                             {"first_step", r.first_step},
                             {"steps", r.steps},
                             {"loss", r.loss},
                             {"metrics", object(r.metrics)},
                             {"evaluation", object(r.evaluation)},
                             {"step_ms", 1e3 * r.median_step_seconds},
                             {"predicted_step_ms", r.predicted ? 1e3 * r.predicted->seconds : 0},
                             {"calibrated", r.predicted && r.predicted->calibrated},
                             {"samples_per_s", r.samples_per_second},
                             {"seconds_to_first_step", r.seconds_to_first_step},
                             {"startup_seconds", startup},
                             {"arena_bytes", r.arena_bytes},
                             {"liveness_bound_bytes", r.liveness_bound_bytes},
                             {"state_bytes", r.state_bytes},
                             {"folder", r.folder.string()}};
  if (r.communication_seconds) {
    out["comm_ms"] = 1e3 * *r.communication_seconds;
    out["exposed_comm_ms"] = 1e3 * *r.exposed_seconds;
  }
  fmt::print("{}\n", out.dump(2));
}

}  // namespace

ExitCode run_train(const Arguments& arguments) {
  Options options("train", "Trains a model as a job says. The same command runs alone, under mpirun and under srun.");
  options.argument("JOB.yaml", "the job file")
      .list("set", "KEY=VALUE", "overrides a key of the job, as in optimizer.lr=0.1; may be repeated")
      .value("resume", "auto|never|CHECKPOINT",
             "auto goes on from the newest valid checkpoint of the run folder; never moves a former run aside; a file "
             "goes on from that one",
             "auto")
      .value("site", "SITE.yaml", "predicts the step time from the costs that `weft calibrate` measured of this site")
      .flag("trace", "writes a timeline of the first steps to trace.json in the run folder (Perfetto shows it)")
      .flag("json", "the result as JSON")
      .flag("quiet", "no progress; warnings are still shown")
      .note(
          "SIGUSR1, SIGUSR2 or Ctrl-C finishes the step, writes a checkpoint and leaves with 75: the same command goes "
          "on. Send SIGUSR2 to Open MPI's mpirun, which passes it on and keeps SIGUSR1 to itself.")
      .note(
          "Exit codes: 0 trained, 2 wrong input, 3 the system failed, 4 a fault of Weft's, 75 stopped early with a "
          "good checkpoint. Under mpirun or srun, see exit.json in the run folder.")
      .example("weft train job.yaml")
      .example("mpirun -n 2 weft train job.yaml --set epochs=10");
  if (!options.parse(arguments)) return ExitCode::ok;
  StopSignals signals;  // from here to the very end: a signal while ranks join or part must not kill
  return on_all_ranks([&](World& world, const LaunchInfo& launch) {
    const JobSpec job = read_job(options.text("JOB.yaml"), options.texts("set"));
    if (world.runtime)
      world.runtime->set_timeout(std::chrono::milliseconds(static_cast<std::int64_t>(1e3 * job.timeout_seconds)));
    const auto device =
        make_device(job.device, {world.communicator->node_size(), job.threads}, job.deterministic, job.math == "fast");
    PosixFileSystem files;
    TrainServices services{*world.communicator, *device, files};
    services.mpi = world.runtime.get();
    services.crowding = crowding(world.communicator->node_size(), device->target().threads);
    services.signals = &signals;
    services.terminate_grace = terminate_grace(launch.launcher);
    const bool speaks = world.communicator->rank() == 0;
    if (speaks) (options.has("quiet") ? services.warnings : services.progress) = &std::cerr;
    TrainOptions how;
    const std::string& resume = options.text("resume");
    how.resume = resume != "never";
    if (resume != "auto" && resume != "never") how.from = resume;
    if (options.has("site")) {
      const SiteCosts known = read_site_costs(files, options.text("site"));
      how.costs = costs_for(known, world.communicator->node_size(), device->target());
    }
    how.trace = options.has("trace");
    const TrainResult result = train(job, how, services);
    if (speaks) options.has("json") ? print_json(job, result) : print_text(job, result);
    return result.complete ? ExitCode::ok : ExitCode::stopped_early;
  });
}

}  // namespace weft::cli
