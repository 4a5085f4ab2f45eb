// Evaluating a checkpoint: loss and metrics of a job's evaluation set, as training logs them.
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "src/faults/stop_signals.hpp"
#include "src/files/file_system.hpp"
#include "weft/communicator.hpp"
#include "weft/device.hpp"
#include "weft/job.hpp"

namespace weft {

/// What an evaluation is given beside its job. References outlive it.
struct EvaluationServices {
  Communicator& world;
  Device& device;
  FileSystem& files;
  std::ostream* progress = nullptr;      ///< rank 0's remarks; nullptr: silent
  const StopSignals* signals = nullptr;  ///< signals end it after a batch; nullptr: they do not
};

struct EvaluationResult {
  std::int64_t step = 0;
  std::filesystem::path checkpoint;
  std::int64_t samples = 0, evaluated = 0;             ///< in the set; seen before it ended
  double seconds = 0;                                  ///< of the pass over the set
  std::vector<std::pair<std::string, double>> totals;  ///< loss first, then the job's metrics, of the samples seen
  std::string stopped;                                 ///< why samples were left out; "": none were
};

/// Collective over services.world. `checkpoint` empty: the newest valid one of the job's run folder, damaged ones
/// passed over by name. Throws UserError where there is none, where the given one is damaged, of another model or does
/// not fit the job, and for anything wrong in job, model or data; SystemError when a file, peer or device fails.
EvaluationResult evaluate_checkpoint(const JobSpec& job, const std::filesystem::path& checkpoint,
                                     const EvaluationServices& services);

}  // namespace weft
