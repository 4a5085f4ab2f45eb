// What of a job's parallel: section this version does not do yet, refused in one place for every verb.
#pragma once

#include "weft/job.hpp"

namespace weft {

/// Throws UserError naming every key that asks for it, with what is allowed.
void check_parallel(const ParallelSpec& parallel);

}  // namespace weft
