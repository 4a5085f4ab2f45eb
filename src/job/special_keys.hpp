// Keys of a job with a form of their own.
#pragma once

#include "src/settings/key.hpp"
#include "weft/job.hpp"

namespace weft {

Key<OptimizerSpec> betas_key();     ///< [beta1, beta2]
Key<CheckpointSpec> every_key();    ///< "1 epoch", "100 steps", "10 minutes", "never"
Key<JobSpec> precision_key();       ///< f32, bf16, f16
Key<JobSpec> batch_norm_section();  ///< {group: N}, a field of JobSpec itself
Key<ParallelSpec> split_key();      ///< {"PATTERN": DIMENSION, "PATTERN": none, "PATTERN": {dimension: D, blocks: B}}
/// The section's key with the word `auto` allowed in its place; naming any of its keys ends `automatic`.
Key<JobSpec> auto_section(Key<JobSpec> section, ParallelSpec JobSpec::*field);

}  // namespace weft
