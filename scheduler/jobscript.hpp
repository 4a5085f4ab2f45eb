// Job scripts: the Slurm batch script of a training run.
//
// How a job ends well. Slurm sends SIGUSR1 to the ranks `signal_seconds` before the time limit (up to 60 s earlier);
// they save, leave together with exit code 75, and the script puts the job back into the queue, from where it resumes.
// `--signal` without `B:` goes to the processes of job steps, which the ranks are, and not to the shell, which passes
// on what others send it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "weft/job.hpp"
#include "weft/site.hpp"

namespace weft {

/// What is asked of the scheduler.
struct ResourceRequest {
  int nodes = 1;
  int ranks_per_node = 1;
  int threads = 1;                ///< cores of a rank
  std::int64_t memory_bytes = 0;  ///< of a node; 0: the partition's default
  bool operator==(const ResourceRequest&) const = default;
};

struct ScriptPaths {
  std::filesystem::path weft;        ///< the executable
  std::filesystem::path job;         ///< the job file that `weft train` gets
  std::filesystem::path site;        ///< for the predictions of `weft train`; "": none
  std::filesystem::path run_folder;  ///< where exit.json will be, and the script's output
};

/// Throws UserError unless the site takes such a job: a scheduler is there; the partition exists and allows the time
/// and the nodes; ranks, threads and memory fit a node; the time is longer than the notice before its end.
void check_request(const JobSpec& job, const Site& site, const ResourceRequest& request);

/// The script. Every directive is made of checked fields; every word that the shell sees is a literal of this function,
/// a number, or in single quotes. Throws UserError as check_request does, and for names and paths that cannot be put
/// into a script safely.
std::string job_script(const JobSpec& job, const Site& site, const ResourceRequest& request, const ScriptPaths& paths);

}  // namespace weft
