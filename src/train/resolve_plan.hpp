// The plan of a job on so many ranks, where the user left it to Weft.
#pragma once

#include <cstdint>
#include <optional>

#include "src/train/step_compiler.hpp"
#include "weft/job.hpp"
#include "weft/plan.hpp"

namespace weft {

/// Data parallelism over all ranks, every step in one pass: enough for evaluation. Throws UserError where the job asks
/// for a mesh that does not have `ranks` ranks, or for what this version does not do.
Plan unsplit_plan(const JobSpec& job, int ranks);

/// Data parallelism over all ranks; as few micro-batches as fit `memory_bytes` of a rank (0: no limit known), or what
/// job.micro_batch says; not fewer than `former_passes`, so that a run that goes on adds up as it did. Throws UserError
/// as above, and where one sample a pass still does not fit (saying how much is needed and how much there is). Lowers
/// the step to know.
Plan resolve_plan(const JobSpec& job, int ranks, StepCompiler& compiler, std::int64_t memory_bytes,
                  std::optional<std::int64_t> former_passes = std::nullopt);

/// Bytes that rank 0 holds in training under `plan`: arena, states, constants, feeds.
std::int64_t training_memory(StepCompiler& compiler, const Plan& plan, std::int64_t step_samples);

}  // namespace weft
