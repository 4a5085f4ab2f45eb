// Compilation of a job or a model without running it: the Programs that `weft train` or `weft predict` would run, and
// the graphs on the way there.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/lowering/lower.hpp"
#include "src/run/phase_times.hpp"
#include "weft/device.hpp"
#include "weft/job.hpp"
#include "weft/plan.hpp"

namespace weft {

/// One Program and how it came to be.
struct CompiledProgram {
  Lowered lowered;
  Graph before;  ///< the whole step, or the model's forward pass
};

struct Compilation {
  std::string source;                     ///< the file
  std::string device;                     ///< the target, printed
  std::optional<Plan> plan;               ///< jobs
  std::optional<std::string> model;       ///< jobs: the model's file
  std::vector<CompiledProgram> programs;  ///< of rank 0, in the order of their first use
  double seconds = 0;                     ///< that compilation took
  std::vector<TunedKernel> tuned;         ///< whose schedules were compared, where kernels were made
  std::vector<PhaseTime> phases;          ///< since this process was started
};

struct ModelSizes {
  std::int64_t batch = 0;                            ///< 0: what the model fixes, or 1
  std::map<std::string, std::int64_t> dimensions{};  ///< of open dimensions, by name
};

/// What is asked of the passes.
struct PassWishes {
  std::vector<std::string> without;  ///< models; a job says it itself
  std::string dump;                  ///< the pass whose forms before and after are kept; empty: none
  bool kernels = false;              ///< kernels are made too, and kept in the cache
};

/// The inference Program of a model. Throws UserError for what is open or not supported.
Compilation compile_model(const std::string& file, const ModelSizes& sizes, Device& device,
                          const PassWishes& wishes = {});

/// Every Program of rank 0 of `ranks` ranks: passes of full and tail steps, evaluation. Reads the shapes of the job's
/// data, no samples. Throws UserError as training would.
Compilation compile_job(const std::string& file, const JobSpec& job, int ranks, Device& device,
                        const PassWishes& wishes = {});

}  // namespace weft
