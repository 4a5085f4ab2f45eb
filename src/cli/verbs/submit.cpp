// weft submit: plans a job, writes its script, and gives it to Slurm.
#include "src/launch/submit.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "scheduler/step_report.hpp"
#include "src/cli/verbs.hpp"
#include "src/job/job_file.hpp"
#include "src/launch/job_programs.hpp"
#include "src/launch/site_costs.hpp"

namespace weft::cli {
namespace {

constexpr std::chrono::seconds kSbatchLimit{60};

/// What the scheduler is asked for: predicted memory with a third on top, at most the node's.
ResourceRequest request_of(const Alternative& a, const Site& site) {
  ResourceRequest p{a.arrangement.nodes, a.arrangement.ranks_per_node, a.arrangement.threads, 0};
  if (site.node.memory_bytes > 0) {
    const auto needed = (a.prediction.memory_bytes() + kProcessBytes) * p.ranks_per_node;
    p.memory_bytes = std::min(site.node.memory_bytes, needed + needed / 3);
  }
  return p;
}

}  // namespace

ExitCode run_submit(const Arguments& arguments) {
  Options options("submit", "Plans a job, writes its job script into the run folder, and submits it to Slurm.");
  options.argument("JOB.yaml", "the job file")
      .required_value("site", "S.yaml", "the site file")
      .list("set", "KEY=VALUE", "overrides a key of the job, as in resources.time=02:00:00; may be repeated")
      .flag("dry-run", "writes the script, says where it is, and submits nothing")
      .flag("json", "the result as JSON")
      .note(
          "The job runs from a copy of its file in the run folder (job.yaml): later changes to JOB.yaml do not reach "
          "it. Near the end of its time it saves, goes back into the queue, and resumes.")
      .example("weft submit job.yaml --site cluster.yaml --dry-run")
      .example("weft submit job.yaml --site cluster.yaml --set resources.nodes=1");
  if (!options.parse(arguments)) return ExitCode::ok;
  PosixFileSystem files;
  const auto known = read_site_costs(files, options.text("site"));
  const auto job = read_job(options.text("JOB.yaml"), options.texts("set"));
  check_request(job, known.site, {job.resources.nodes.value_or(1), 1, 1, 0});  // before any work
  JobPrograms programs(job, known.site.node.memory_bytes);
  const auto candidates = arrangements(known.site, job.resources.nodes.value_or(1), job.resources.ranks_per_node,
                                       job.threads > 0 ? std::optional(job.threads) : std::nullopt);
  const auto report =
      plan_arrangements(candidates, known.site, known.costs, [&](const Arrangement& a) { return programs.build(a); });
  const auto* best = report.recommended();
  if (!best) {
    const auto& first = report.alternatives.front();
    throw UserError(fmt::format("submit: no way of running {} on {}; {}: {}\n  `weft plan` shows all of them", job.name,
                                known.site.name, first.arrangement.str(), first.excluded));
  }
  programs.check_data(best->plan);
  const auto script =
      write_submission(files, job, known.site, request_of(*best, known.site), own_executable(), options.text("site"));
  const auto number = options.has("dry-run") ? std::string() : sbatch(script, kSbatchLimit);
  const double seconds = time_to_train(best->prediction, programs.work(*best), known.costs).seconds;
  if (options.has("json")) {
    const nlohmann::ordered_json out{{"script", script.string()},
                                     {"submitted", !number.empty()},
                                     {"job", number},
                                     {"nodes", best->arrangement.nodes},
                                     {"ranks_per_node", best->arrangement.ranks_per_node},
                                     {"threads", best->arrangement.threads},
                                     {"predicted_step_ms", 1e3 * best->prediction.seconds},
                                     {"predicted_train_s", seconds},
                                     {"calibrated", best->prediction.calibrated}};
    fmt::print("{}\n", out.dump(2));
    return ExitCode::ok;
  }
  fmt::print("{}\n", script.string());
  fmt::print("{} ranks x threads: {} a step, {} of training in all{}\n", best->arrangement.str(),
             duration_text(best->prediction.seconds), duration_text(seconds),
             best->is_estimate() ? " (an estimate: " + best->note + ")" : "");
  if (number.empty())
    fmt::print("not submitted (--dry-run)\n");
  else
    fmt::print("submitted as job {}\n", number);
  return ExitCode::ok;
}

}  // namespace weft::cli
