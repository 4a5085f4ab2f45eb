// How many samples one batch normalisation looks at: part of a job's meaning, never of its plan.
#pragma once

#include <cstdint>

#include "weft/job.hpp"

namespace weft {

/// Samples of one normalisation group in an optimiser step of `step_samples` samples. For a full batch: what the job
/// says, or the whole batch up to 256 samples, or the largest power of two up to 64 that divides it. A shorter step
/// (an epoch's tail) uses the same group where it divides, else the divisor of step_samples nearest to it in ratio.
/// Throws UserError where a group that the job gives does not divide its batch.
std::int64_t batch_norm_group(const JobSpec& job, std::int64_t step_samples);

/// Throws UserError, saying which passes fit, where a pass of `pass_samples` would cut a group.
void check_groups_whole(std::int64_t pass_samples, std::int64_t step_samples, std::int64_t group);

}  // namespace weft
