// Which variables mean what:
//   OMPI_COMM_WORLD_{SIZE,RANK,LOCAL_RANK,LOCAL_SIZE}   Open MPI's mpirun, versions 1 to 5
//   SLURM_STEP_{ID,NUM_TASKS}, SLURM_{PROCID,LOCALID}   a job step, so srun; the batch script itself has SLURM_NTASKS
//                                               and SLURM_PROCID too, but it is no task of a step
//   SLURM_{STEP_TASKS_PER_NODE,NODEID}          tasks of all nodes, as in 2(x3),1, and which of them this is
//   PMI_{SIZE,RANK}, MPI_LOCAL{RANKID,NRANKS}   Hydra (MPICH, Intel MPI) and PMI plugins
//   PMIX_RANK, PMIX_NAMESPACE                   PMIx is there
// mpirun inside a job step sets its own and keeps Slurm's, so Open MPI's are asked first.
#include "comm/launch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "weft/error.hpp"

namespace weft {
namespace {

int number(const Environment& environment, const char* name, int missing) {
  const auto text = environment(name);
  if (!text || text->empty()) return missing;
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size() || value < 0)
    throw UserError(fmt::format(
        "the environment variable {} is '{}', where a launcher puts a number: unset it, or start through mpirun or "
        "srun",
        name, *text));
  return value;
}

/// Entry `node` of a list like "4(x2),3": 4, 4, 3. 1 where it has none, or is no such list.
int tasks_of_node(std::string_view list, int node) {
  const auto take = [&](int& value) {
    const auto [end, error] = std::from_chars(list.data(), list.data() + list.size(), value);
    list.remove_prefix(static_cast<std::size_t>(end - list.data()));
    return error == std::errc{};
  };
  while (!list.empty()) {
    int tasks = 1, nodes = 1;
    if (!take(tasks)) return 1;
    if (list.starts_with("(x")) {
      list.remove_prefix(2);
      if (!take(nodes) || !list.starts_with(")")) return 1;
      list.remove_prefix(1);
    }
    if (node < nodes) return std::max(1, tasks);
    node -= nodes;
    if (list.starts_with(",")) list.remove_prefix(1);
  }
  return 1;
}

const char* name_of(Launcher launcher) {
  switch (launcher) {
    case Launcher::none: return "nobody";
    case Launcher::open_mpi: return "Open MPI's mpirun";
    case Launcher::slurm: return "srun";
    case Launcher::pmi: return "a PMI launcher (MPICH's or Intel MPI's mpiexec)";
  }
  return "";
}

std::string remedy(const LaunchInfo& launch) {
  switch (launch.launcher) {
    case Launcher::slurm:
      return launch.pmix ? "srun offers PMIx, but the MPI library could not use it: load the MPI module that weft was "
                           "built with, or check that its PMIx version is not older than Slurm's"
                         : "start it with `srun --mpi=pmix` (`srun --mpi=list` shows what this site has), or with the "
                           "mpirun of the MPI that weft was built with";
    case Launcher::pmi:
      return "this mpirun belongs to another MPI than the one that weft was built with: use Open MPI's mpirun, or "
             "`srun --mpi=pmix`";
    default:
      return "mpirun and the MPI library that weft was built with do not match: use the mpirun of the same "
             "installation (`which mpirun`, `ldd weft | grep libmpi`)";
  }
}

}  // namespace

std::string LaunchInfo::str() const {
  if (launcher == Launcher::none) return "started alone";
  return fmt::format("task {} of {}, started by {}", task, tasks, name_of(launcher));
}

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value ? std::optional<std::string>(value) : std::nullopt;
  };
}

LaunchInfo detect_launch(const Environment& environment) {
  LaunchInfo info;
  info.pmix = environment("PMIX_RANK").has_value() || environment("PMIX_NAMESPACE").has_value();
  if (environment("OMPI_COMM_WORLD_SIZE")) {
    info.launcher = Launcher::open_mpi;
    info.tasks = number(environment, "OMPI_COMM_WORLD_SIZE", 1);
    info.task = number(environment, "OMPI_COMM_WORLD_RANK", 0);
    info.local = number(environment, "OMPI_COMM_WORLD_LOCAL_RANK", 0);
    info.local_tasks = number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE", 1);
  } else if (environment("SLURM_STEP_ID") && environment("SLURM_STEP_NUM_TASKS")) {
    info.launcher = Launcher::slurm;
    info.tasks = number(environment, "SLURM_STEP_NUM_TASKS", 1);
    info.task = number(environment, "SLURM_PROCID", 0);
    info.local = number(environment, "SLURM_LOCALID", 0);
    info.local_tasks =
        tasks_of_node(environment("SLURM_STEP_TASKS_PER_NODE").value_or(""), number(environment, "SLURM_NODEID", 0));
  } else if (environment("PMI_SIZE")) {
    info.launcher = Launcher::pmi;
    info.tasks = number(environment, "PMI_SIZE", 1);
    info.task = number(environment, "PMI_RANK", 0);
    info.local = number(environment, "MPI_LOCALRANKID", 0);
    info.local_tasks = number(environment, "MPI_LOCALNRANKS", 1);
  }
  if (info.tasks < 1 || info.task >= info.tasks)
    throw UserError(
        fmt::format("the launcher's environment variables contradict each other: task {} of {}, by {}; "
                    "start through mpirun or srun, or unset them",
                    info.task, info.tasks, name_of(info.launcher)));
  return info;
}

std::string start_remark(const LaunchInfo& launch) {
  if (launch.launcher != Launcher::slurm || launch.pmix || !launch.needs_mpi()) return "";
  return fmt::format("srun offers no PMIx to its {} tasks. Should MPI not start: {}", launch.tasks, remedy(launch));
}

void check_world_size(const LaunchInfo& launch, int world_size) {
  if (world_size == launch.tasks || launch.launcher == Launcher::none) return;
  if (world_size == 1)
    throw UserError(
        fmt::format("{} started {} tasks, but MPI connected none of them: these would be {} separate "
                    "copies of rank 0.\n  What to do: {}",
                    name_of(launch.launcher), launch.tasks, launch.tasks, remedy(launch)));
  throw UserError(fmt::format("{} started {} tasks, but MPI sees {} ranks.\n  What to do: {}", name_of(launch.launcher),
                              launch.tasks, world_size, remedy(launch)));
}

}  // namespace weft
