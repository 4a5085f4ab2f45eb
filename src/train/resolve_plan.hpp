// The plan of a job on so many ranks, where the user left it to Weft.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "src/train/step_compiler.hpp"
#include "weft/job.hpp"
#include "weft/plan.hpp"

namespace weft {

/// What a run that goes on keeps of the plan that it began with.
struct FormerPlan {
  std::optional<std::int64_t> passes = std::nullopt;  ///< of a step, on a mesh of as many ranks along "data"
  StateCutList cuts = {};  ///< on the same mesh, with the same hints and ZeRO stage; else empty
};

/// The job's mesh on so many ranks, with nothing cut and every step in one pass. Throws UserError where the job asks
/// for a mesh that does not have `ranks` ranks, or for what this version does not do.
Plan unsplit_plan(const JobSpec& job, int ranks);

/// The job's mesh; its cuts, by the job's hints and by cost; as few micro-batches as fit `memory_bytes` of a rank (0:
/// no limit known), or what job.micro_batch says; not fewer than the former ones, so that a run that goes on adds up as
/// it did. `remark`, where given, gets what the user should know of it. Throws UserError as above, for hints that do
/// not fit the model, and where one sample a pass still does not fit (saying how much is needed and how much there is).
/// Lowers the step to know.
Plan resolve_plan(const JobSpec& job, int ranks, StepCompiler& compiler, std::int64_t memory_bytes,
                  const FormerPlan& former = {}, std::string* remark = nullptr);

/// For evaluation alone: the job's mesh where `ranks` ranks form it, otherwise they all share the samples. `former` is
/// the plan of training: its cuts are taken where its mesh is the same. `samples` are those of a full batch.
Plan evaluation_plan(const JobSpec& job, int ranks, StepCompiler& compiler, std::int64_t samples,
                     const std::optional<Plan>& former);

/// Bytes that rank 0 holds in training under `plan`: arena, states, constants, feeds.
std::int64_t training_memory(StepCompiler& compiler, const Plan& plan, std::int64_t step_samples);

}  // namespace weft
