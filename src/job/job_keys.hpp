// The table of every key of a job file.
#pragma once

#include "src/settings/key.hpp"
#include "weft/job.hpp"

namespace weft {

/// To add a setting: a field in weft/job.hpp and an entry here; reading, --set, --schema and job.yaml follow.
Keys<JobSpec> job_keys();

/// The optimiser with PyTorch's defaults for `name`.
OptimizerSpec default_optimizer(const std::string& name);

}  // namespace weft
