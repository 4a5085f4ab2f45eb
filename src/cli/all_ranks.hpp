// Verbs that run on every rank: joining them, and leaving together when something fails.
#pragma once

#include <functional>

#include "comm/launch.hpp"
#include "comm/mpi/mpi_runtime.hpp"
#include "weft/error.hpp"

namespace weft::cli {

/// Starts MPI where a launcher started several processes, and runs `work` on each. When `work` throws the same on all
/// ranks, rank 0 rethrows it and the others leave with its exit code; when it throws on some only, each of those says
/// so and ends the whole job: this function then does not return.
ExitCode on_all_ranks(const std::function<ExitCode(World& world, const LaunchInfo& launch)>& work);

}  // namespace weft::cli
