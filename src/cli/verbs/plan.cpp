// weft plan: what a job would take under every way of filling a node.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "fmt/format.h"
#include "scheduler/step_report.hpp"
#include "src/cli/verbs.hpp"
#include "src/job/job_file.hpp"
#include "src/launch/job_programs.hpp"
#include "src/launch/site_costs.hpp"
#include "src/run/text.hpp"
#include "src/train/state_cuts.hpp"

namespace weft::cli {
namespace {

void print_row(const Alternative& a, const RunTime& run) {
  const auto& p = a.prediction;
  fmt::print("{}{}{:>15}  {:>10}  {:>24}  {:>10}  {:>10}  {:>10}  {}\n", a.recommended ? "*" : " ",
             a.is_estimate() ? "~" : " ", a.arrangement.str(), duration_text(p.seconds),
             fmt::format("{} to {}", duration_text(p.low), duration_text(p.high)), duration_text(run.epoch_seconds),
             duration_text(run.seconds), fmt::format("{:.1f} MiB", mebibytes(p.memory_bytes())),
             a.recommended ? "recommended" : a.verdict);
}

/// What the marks mean, and what would make measurements of the estimates.
void print_estimates(const PlanReport& report, const CalibrationSet& costs, const std::string& site) {
  const Alternative* best = report.recommended();
  std::string named;
  int most_ranks = 1;
  for (const auto& a : report.alternatives) {
    if (!a.excluded.empty() || !a.is_estimate()) continue;
    named += fmt::format("{}{} ({})", named.empty() ? "" : ", ", a.arrangement.str(), a.note);
    most_ranks = std::max(most_ranks, a.arrangement.ranks_per_node);
  }
  if (named.empty()) return;
  const std::string ranks = most_ranks > 1 ? fmt::format("mpirun -n {} --bind-to none ", most_ranks) : "";
  if (costs.entries.empty()) {
    fmt::print("\nuncalibrated: these are estimates; `{}weft calibrate --site {}` measures this machine\n", ranks,
               site);
    return;
  }
  fmt::print("\n~ estimates, for nobody measured a node filled like this: {}.\n", named);
  if (best != nullptr && best->is_estimate())
    fmt::print("  The recommendation is one of them: {}.\n",
               std::any_of(report.alternatives.begin(), report.alternatives.end(),
                           [](const auto& a) { return a.excluded.empty() && !a.is_estimate(); })
                   ? "even at its slowest it is faster than all that were measured"
                   : "nothing that this job can use was measured");
  fmt::print("  `{}weft calibrate --site {} --all` measures them.\n", ranks, site);
}

void print_explanation(const Alternative& a, const RunTime& run) {
  const auto& p = a.prediction;
  fmt::print("\n{} (mesh {}, {} pass{} a step):\n", a.arrangement.str(), a.plan.mesh.str(), a.plan.micro_batches,
             a.plan.micro_batches == 1 ? "" : "es");
  if (!a.plan.cuts.empty()) fmt::print("  {}\n", summary_of(a.plan.cuts));
  fmt::print(
      "  prices: {:.0f} % of the time from kernels measured exactly, {:.0f} % from rates of their kind, {:.0f} % "
      "estimated{}{}\n",
      100 * p.measured_share, 100 * (1 - p.measured_share - p.estimated_share), 100 * p.estimated_share,
      a.note.empty() ? "" : "; ", a.note);
  fmt::print("  memory of a rank: arena {:.1f} MiB, states and the rest {:.1f} MiB\n", mebibytes(p.arena_bytes),
             mebibytes(p.resident_bytes));
  if (p.communication_seconds > 0)
    fmt::print("  communication: {}, of which {} is waited for\n", duration_text(p.communication_seconds),
               duration_text(p.exposed_seconds));
  for (const auto& share : p.shares)
    fmt::print("  {:>5.1f} %  {:>10}  {}\n", 100 * share.seconds / p.seconds, duration_text(share.seconds), share.what);
  fmt::print("  training: {} to {}; of it {} waiting for data, {} writing {} checkpoint{} of {:.1f} MiB{}\n",
             duration_text(run.low), duration_text(run.high), duration_text(run.input_seconds),
             duration_text(run.checkpoint_seconds), run.checkpoints, run.checkpoints == 1 ? "" : "s",
             a.checkpoint_bytes / (1 << 20), run.storage_measured ? "" : " (estimated: storage was not measured)");
}

nlohmann::ordered_json row_json(const Alternative& a, const RunTime& run) {
  nlohmann::ordered_json row{{"nodes", a.arrangement.nodes},
                             {"ranks_per_node", a.arrangement.ranks_per_node},
                             {"threads", a.arrangement.threads}};
  if (!a.excluded.empty()) {
    row["excluded"] = a.excluded;
    return row;
  }
  const auto& p = a.prediction;
  row["recommended"] = a.recommended;
  row["step_ms"] = {{"predicted", 1e3 * p.seconds}, {"low", 1e3 * p.low}, {"high", 1e3 * p.high}};
  row["epoch_s"] = run.epoch_seconds;
  row["train_s"] = run.seconds;
  row["train_between_s"] = {run.low, run.high};
  row["input_s"] = run.input_seconds;
  row["checkpoints"] = {{"count", run.checkpoints}, {"bytes", a.checkpoint_bytes}, {"s", run.checkpoint_seconds}};
  row["storage_measured"] = run.storage_measured;
  row["memory_bytes_a_rank"] = p.memory_bytes();
  row["communication_ms"] = {{"total", 1e3 * p.communication_seconds}, {"exposed", 1e3 * p.exposed_seconds}};
  row["priced"] = {{"measured", p.measured_share}, {"estimated", p.estimated_share}};
  row["measured"] = !a.is_estimate();
  row["note"] = a.note;
  row["verdict"] = a.verdict;
  row["shares_ms"] = nlohmann::ordered_json::object();
  for (const auto& share : p.shares) row["shares_ms"][share.what] = 1e3 * share.seconds;
  row["plan"] = nlohmann::ordered_json::parse(a.plan.json());
  return row;
}

void check_possible(const PlanReport& report, const JobSpec& job) {
  if (!report.recommended())
    throw UserError(fmt::format("plan: {} cannot run in any of these ways; the reasons are beside them", job.name));
}

}  // namespace

ExitCode run_plan(const Arguments& arguments) {
  Options options(
      "plan",
      "Predicts step time, training time and memory of a job for every way of filling a node with ranks and "
      "threads, and recommends one.");
  options.argument("JOB.yaml", "the job file")
      .required_value("site", "S.yaml", "the site file; costs measured by `weft calibrate` are beside it")
      .list("set", "KEY=VALUE", "overrides a key of the job, as in batch=64; may be repeated")
      .flag("explain", "where the time goes, and where each price comes from")
      .flag("json", "as JSON")
      .note(
          "resources.nodes, resources.ranks_per_node and threads of the job are kept where it sets them. Times of "
          "training are of steps, of reading that they do not hide, and of checkpoints; evaluation and start-up come "
          "on "
          "top.")
      .example("weft plan job.yaml --site workstation.yaml")
      .example("weft plan job.yaml --site workstation.yaml --set batch=64 --explain");
  if (!options.parse(arguments)) return ExitCode::ok;
  PosixFileSystem files;
  const auto known = read_site_costs(files, options.text("site"));
  const auto job = read_job(options.text("JOB.yaml"), options.texts("set"));
  JobPrograms programs(job, known.site.node.memory_bytes);
  const auto& length = programs.length();
  const auto candidates = arrangements(known.site, job.resources.nodes.value_or(1), job.resources.ranks_per_node,
                                       job.threads > 0 ? std::optional(job.threads) : std::nullopt);
  const auto report =
      plan_arrangements(candidates, known.site, known.costs, [&](const Arrangement& a) { return programs.build(a); });
  const auto run_of = [&](const Alternative& a) { return time_to_train(a.prediction, programs.work(a), known.costs); };
  if (options.has("json")) {
    nlohmann::ordered_json out{{"job", job.name},
                               {"site", known.site.name},
                               {"batch", job.batch},
                               {"steps_an_epoch", length.steps_per_epoch},
                               {"steps", length.total_steps},
                               {"calibrated", !known.costs.entries.empty()}};
    out["alternatives"] = nlohmann::ordered_json::array();
    for (const auto& a : report.alternatives) out["alternatives"].push_back(row_json(a, run_of(a)));
    fmt::print("{}\n", out.dump(2));
    check_possible(report, job);
    return ExitCode::ok;
  }
  fmt::print("{} on {}: batch {}, {} steps an epoch, {} in all\n", job.name, known.site.name, job.batch,
             length.steps_per_epoch, length.total_steps);
  fmt::print("  {:>15}  {:>10}  {:>24}  {:>10}  {:>10}  {:>10}\n", "ranks x threads", "step", "between", "epoch",
             "training", "rank's mem.");
  for (const auto& a : report.alternatives)
    if (a.excluded.empty()) print_row(a, run_of(a));
  for (const auto& a : report.alternatives)
    if (!a.excluded.empty()) fmt::print("  {:>15}  not possible: {}\n", a.arrangement.str(), a.excluded);
  if (options.has("explain"))
    for (const auto& a : report.alternatives)
      if (a.excluded.empty()) print_explanation(a, run_of(a));
  print_estimates(report, known.costs, options.text("site"));
  if (const auto* best = report.recommended(); best && known.site.scheduler == "none")
    fmt::print("\nrun it with: OMP_NUM_THREADS={} mpirun -n {} --bind-to none weft train {}\n",
               best->arrangement.threads, best->arrangement.ranks(), options.text("JOB.yaml"));
  check_possible(report, job);
  return ExitCode::ok;
}

}  // namespace weft::cli
