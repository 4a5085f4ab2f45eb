// Training a job: from a resolved JobSpec to a trained, checkpointed, exported model in a run folder.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/mpi/mpi_runtime.hpp"
#include "scheduler/simulate.hpp"
#include "src/faults/stop_signals.hpp"
#include "src/files/file_system.hpp"
#include "src/run/phase_times.hpp"
#include "weft/communicator.hpp"
#include "weft/device.hpp"
#include "weft/job.hpp"
#include "weft/site.hpp"

namespace weft {

/// What a run is given beside its job. References outlive the run.
struct TrainServices {
  Communicator& world;
  Device& device;
  FileSystem& files;
  MpiRuntime* mpi = nullptr;         ///< of `world`; nullptr for a process alone
  StopSignals* signals = nullptr;    ///< signals end the run with a checkpoint; nullptr: they do not
  double terminate_grace = 1;        ///< seconds that the launcher leaves between SIGTERM and SIGKILL
  std::ostream* progress = nullptr;  ///< rank 0's progress and remarks; nullptr: silent
  std::string crowding = {};         ///< what is to be said of threads that have no core of their own; "": nothing
  std::ostream* warnings = nullptr;  ///< where its warnings go when there is no progress; nullptr: nowhere
};

struct TrainOptions {
  bool resume = true;          ///< from the newest valid checkpoint of the run folder, if there is one
  std::filesystem::path from;  ///< resume from this checkpoint instead
  bool trace = false;          ///< write trace.json of a few steps
  /// Measured costs of this arrangement of ranks, to predict the step time from; absent: from the device's estimates.
  std::optional<PlacementCosts> costs;
};

/// How a run ended, on every rank alike.
struct TrainResult {
  bool complete = false;                                   ///< false: stopped early, with a good checkpoint
  std::string reason;                                      ///< "completed", or what stopped it
  std::int64_t first_step = 0, steps = 0;                  ///< done before this call, and in all
  double loss = 0;                                         ///< of the last step
  std::vector<std::pair<std::string, double>> metrics;     ///< of the last step
  std::vector<std::pair<std::string, double>> evaluation;  ///< of the final weights; empty without data.eval
  std::vector<PhaseTime> startup;                          ///< where this process's time before the first step went
  double seconds_to_first_step = 0;                        ///< all of `startup`
  double median_step_seconds = 0;
  /// Medians of rank 0's steps: collectives in flight, and waited for; absent alone.
  std::optional<double> communication_seconds, exposed_seconds;
  std::optional<Prediction> predicted;  ///< of a full step; absent before the Programs are made
  double samples_per_second = 0;
  std::int64_t arena_bytes = 0, liveness_bound_bytes = 0, state_bytes = 0;
  std::filesystem::path folder;
};

/// Collective over services.world. Throws UserError for anything wrong in job, model or data, SystemError when a file,
/// peer or device fails; on either the run folder keeps its newest good checkpoint.
TrainResult train(const JobSpec& job, const TrainOptions& options, const TrainServices& services);

}  // namespace weft
