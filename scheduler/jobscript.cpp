// Writing job scripts.
#include "scheduler/jobscript.hpp"

#include "fmt/format.h"
#include "scheduler/script_text.hpp"
#include "src/settings/nearest.hpp"
#include "src/settings/text_checks.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr int kSignalResolution = 60;  // seconds by which Slurm may be early

/// The job's word, else the site's.
const std::string& first_of(const std::string& asked, const std::string& otherwise) {
  return asked.empty() ? otherwise : asked;
}

// The structs may come from elsewhere than their readers: what reaches a directive is checked here again.
const std::string& checked_name(const std::string& name, std::string_view what) {
  if (!is_safe_name(name))
    throw UserError(
        fmt::format("{} '{}' cannot go into a job script: 1 to 64 letters, digits, '.', '_' or '-', "
                    "starting with a letter or digit",
                    what, printable(name)));
  if (has_slurm_word(name))
    throw UserError(
        fmt::format("{} '{}' cannot go into a job script: it contains a word that Slurm takes for its own "
                    "(packjob, hetjob)",
                    what, name));
  return name;
}

long long checked_time(const std::string& time) {
  const auto seconds = seconds_of_time_limit(time);
  if (!seconds)
    throw UserError(
        fmt::format("resources.time: '{}' is not a time limit; write \"HH:MM:SS\" or \"D-HH:MM:SS\"", printable(time)));
  return *seconds;
}

void check_partition(const JobSpec& job, const Site& site, const ResourceRequest& request) {
  const auto& name = first_of(job.resources.partition, site.partition);
  if (name.empty() || site.partitions.empty()) return;
  const auto* partition = site.find_partition(name);
  if (!partition) {
    std::vector<std::string> names;
    for (const auto& p : site.partitions) names.push_back(p.name);
    throw UserError(fmt::format("resources.partition: the site {} has no partition '{}'{}", site.name, printable(name),
                                did_you_mean(name, names)));
  }
  if (checked_time(job.resources.time) > checked_time(partition->max_time))
    throw UserError(fmt::format(
        "resources.time: {} is longer than the {} that the partition {} allows. Ask for less: the job is put back into "
        "the queue at the limit and resumes, so that a long training takes several turns",
        job.resources.time, partition->max_time, name));
  const int most = partition->max_nodes_per_job > 0 ? partition->max_nodes_per_job : partition->nodes;
  if (request.nodes > most)
    throw UserError(fmt::format("resources.nodes: {} are more than the {} that the partition {} gives a job",
                                request.nodes, most, name));
}

std::string directives(const JobSpec& job, const Site& site, const ResourceRequest& request, const ScriptPaths& paths) {
  std::string out;
  const auto add = [&](std::string_view option, std::string_view value) {
    out += value.empty() ? fmt::format("#SBATCH --{}\n", option) : fmt::format("#SBATCH --{}={}\n", option, value);
  };
  const auto named = [&](std::string_view option, const std::string& value) {
    if (!value.empty()) add(option, checked_name(value, option));
  };
  named("job-name", job.name);
  add("nodes", std::to_string(request.nodes));
  add("ntasks-per-node", std::to_string(request.ranks_per_node));
  add("cpus-per-task", std::to_string(request.threads));
  add("hint", "nomultithread");  // cores are counted, not hardware threads
  if (request.memory_bytes > 0) add("mem", fmt::format("{}M", (request.memory_bytes + (1 << 20) - 1) >> 20));
  add("time", job.resources.time);
  named("partition", first_of(job.resources.partition, site.partition));
  named("account", first_of(job.resources.account, site.account));
  named("qos", first_of(job.resources.qos, site.qos));
  add("signal", fmt::format("USR1@{}", site.signal_seconds));
  add(site.requeue ? "requeue" : "no-requeue", "");
  add("open-mode", "append");
  add("output", directive_path(paths.run_folder.string(), "the run folder", "/slurm-%j.out"));
  return out;
}

// Module systems trip over unset variables and failing tests, so strict mode is off while they work.
std::string module_lines(const Site& site) {
  if (site.modules.empty()) return "";
  std::string out =
      "\nset +eu\n"
      "if ! type module >/dev/null 2>&1; then\n"
      "  for init in /etc/profile.d/lmod.sh /etc/profile.d/modules.sh /usr/share/lmod/lmod/init/bash \\\n"
      "    /usr/share/modules/init/bash; do\n"
      "    # shellcheck source=/dev/null\n"
      "    if [ -r \"$init\" ]; then . \"$init\" && break; fi\n"
      "  done\n"
      "fi\n";
  for (const auto& module : site.modules) {
    if (!is_module_name(module))
      throw UserError(fmt::format("modules: '{}' cannot go into a job script", printable(module)));
    out += fmt::format("module load {} || {{ echo {} >&2; exit 3; }}\n", shell_quoted(module, "modules"),
                       shell_quoted("cannot load the module " + module, "modules"));
  }
  return out + "set -eu\n";
}

std::string environment_lines(const Site& site, const ResourceRequest& request) {
  // Threads are not pinned one by one: a thread started by a pinned one would share its core, as those that
  // communicate and read data would.
  std::string out = fmt::format("\nexport OMP_NUM_THREADS={}\nexport OMP_PLACES=cores\nexport OMP_PROC_BIND=false\n",
                                request.threads);
  for (const auto& [name, value] : site.environment) {
    if (!is_variable_name(name))
      throw UserError(fmt::format("environment: '{}' is not the name of a variable", printable(name)));
    out += fmt::format("export {}={}\n", name, shell_quoted(value, "environment." + name));
  }
  return out;
}

std::string site_option(const ScriptPaths& paths) {
  if (paths.site.empty()) return "";
  return " --site " + shell_quoted(paths.site.string(), "the path of the site file");
}

std::string ending(const Site& site, const ScriptPaths& paths) {
  std::string out = fmt::format(
      "\n# 75: stopped early with a good checkpoint. srun may report another rank's code: exit.json decides.\n"
      "stopped=no\n"
      "if [ \"$code\" -eq 75 ]; then\n"
      "  stopped=yes\n"
      "elif [ \"$code\" -ne 0 ] && grep -q '\"reason\": *\"stopped' \"$run/exit.json\" 2>/dev/null; then\n"
      "  stopped=yes\n"
      "fi\n"
      "if [ \"$stopped\" = no ]; then\n"
      "  if [ \"$code\" -ne 0 ]; then\n"
      "    # Says why, also where all ranks were killed before one of them could.\n"
      "    {} inspect \"$run/exit.json\" --ended-since \"$began\" >&2 || true\n"
      "  fi\n"
      "  exit \"$code\"\n"
      "fi\n",
      shell_quoted(paths.weft.string(), "the path of weft"));
  if (!site.requeue)
    return out +
           "echo 'weft: stopped early with a good checkpoint; submit again to go on' >&2\n"
           "exit 75\n";
  return out + fmt::format(
                   "if [ \"${{SLURM_RESTART_COUNT:-0}}\" -ge {} ]; then\n"
                   "  echo 'weft: stopped early for the last of {} restarts; submit again to go on' >&2\n"
                   "  exit 75\n"
                   "fi\n"
                   "if ! scontrol requeue \"$SLURM_JOB_ID\"; then\n"
                   "  echo 'weft: stopped early with a good checkpoint, and cannot be put back into the queue; "
                   "submit again to go on' >&2\n"
                   "fi\n"
                   "exit 75\n",
                   site.max_restarts, site.max_restarts);
}

}  // namespace

void check_request(const JobSpec& job, const Site& site, const ResourceRequest& request) {
  if (site.scheduler != "slurm")
    throw UserError(
        fmt::format("the site {} has no scheduler; start the job with `mpirun -n {} weft train`, or add "
                    "`scheduler: slurm` to the site file",
                    printable(site.name), request.nodes * request.ranks_per_node));
  if (request.nodes < 1 || request.ranks_per_node < 1 || request.threads < 1)
    throw UserError(fmt::format("resources: {} nodes of {} ranks of {} threads; each must be at least 1", request.nodes,
                                request.ranks_per_node, request.threads));
  const auto cores = static_cast<long long>(request.ranks_per_node) * request.threads;
  if (cores > site.node.cores())
    throw UserError(fmt::format("resources.ranks_per_node: {} ranks of {} threads need {} cores; a node of {} has {}",
                                request.ranks_per_node, request.threads, cores, printable(site.name),
                                site.node.cores()));
  if (site.node.memory_bytes > 0 && request.memory_bytes > site.node.memory_bytes)
    throw UserError(
        fmt::format("a node would need {} MiB of memory; one of {} has {} MiB. Use more nodes or a smaller "
                    "batch",
                    request.memory_bytes >> 20, printable(site.name), site.node.memory_bytes >> 20));
  if (checked_time(job.resources.time) <= site.signal_seconds + kSignalResolution)
    throw UserError(fmt::format(
        "resources.time: {} is spent before the job begins: notice of its end may come {} s before (signal_seconds of "
        "the site, and {} s that Slurm may be early)",
        job.resources.time, site.signal_seconds + kSignalResolution, kSignalResolution));
  check_partition(job, site, request);
}

std::string job_script(const JobSpec& job, const Site& site, const ResourceRequest& request, const ScriptPaths& paths) {
  check_request(job, site, request);
  return fmt::format(
      "#!/bin/bash\n"
      "# Written by `weft submit` for the job {} on the site {}.\n"
      "{}"
      "set -eu\n"
      "\nrun={}\n"
      "{}{}"
      "\n# How an earlier start ended says nothing about this one.\n"
      "rm -f -- \"$run/exit.json\"\n"
      "began=$(date +%s)\n"
      "\n# A request to stop that comes to this shell, as from scancel --batch or --full, is the ranks' to answer.\n"
      "step=\n"
      "trap 'signalled=yes; [ -z \"$step\" ] || kill -USR1 \"$step\" || true' USR1\n"
      "srun --mpi={} --cpus-per-task={} --cpu-bind=cores --kill-on-bad-exit=1 \\\n"
      "  {} train {}{} &\n"
      "step=$!\n"
      "signalled=yes\n"
      "while [ \"$signalled\" = yes ]; do\n"
      "  signalled=no\n"
      "  code=0\n"
      "  wait \"$step\" || code=$?\n"
      "done\n"
      "{}",
      checked_name(job.name, "name"), checked_name(site.name, "the site's name"), directives(job, site, request, paths),
      shell_quoted(paths.run_folder.string(), "the run folder"), module_lines(site), environment_lines(site, request),
      checked_name(site.mpi_plugin, "mpi_plugin"), request.threads,
      shell_quoted(paths.weft.string(), "the path of weft"), shell_quoted(paths.job.string(), "the path of the job"),
      site_option(paths), ending(site, paths));
}

}  // namespace weft
