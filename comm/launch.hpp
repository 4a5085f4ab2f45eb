// How this process was started: alone, or as one of many tasks of mpirun or srun. Reads the environment only, so that
// a process started alone never pays for starting MPI.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace weft {

enum class Launcher {
  none,      ///< started alone
  open_mpi,  ///< Open MPI's mpirun
  slurm,     ///< srun
  pmi        ///< another PMI launcher (MPICH's, Intel's)
};

struct LaunchInfo {
  Launcher launcher = Launcher::none;
  int tasks = 1;        ///< how many processes the launcher says it started
  int task = 0;         ///< which of them this is
  int local = 0;        ///< which of those on this node
  bool pmix = false;    ///< srun offers PMIx
  int local_tasks = 1;  ///< how many on this node; 1 where the launcher does not say

  /// Whether MPI must be started: a lone task needs none.
  bool needs_mpi() const { return tasks > 1; }
  std::string str() const;  ///< "task 3 of 8, started by srun"
};

/// Looks a variable up, as getenv does.
using Environment = std::function<std::optional<std::string>(const char* name)>;
Environment process_environment();

/// Throws UserError when a launcher's variables make no sense (a count that is not a number, task >= tasks).
LaunchInfo detect_launch(const Environment& environment = process_environment());

/// What to say before MPI is started, for some MPI libraries then end the process in words of their own: that srun
/// offers no PMIx, and what to do. "" where there is nothing to say.
std::string start_remark(const LaunchInfo& launch);

/// Throws UserError, with the remedy, when MPI found another number of ranks than the launcher started: the usual
/// case is N separate copies that each believe to be rank 0 of 1.
void check_world_size(const LaunchInfo& launch, int world_size);

}  // namespace weft
