// Pipelined steps held against one rank's.
#pragma once

#include "tests/graph/pipeline/pipelined_step.hpp"

namespace weft::test {

/// Several steps: fetches on all ranks and lasting states are those of one rank within `tolerance`, scaled; 0: bit for
/// bit.
void expect_trains_alike(const PassedStep& step, const Mesh& mesh, int chunks, double tolerance,
                         const StateCutList& cuts = {}, int steps = 2);

Mesh pipeline_mesh(int ranks);
Mesh mesh_of(int data, int tensor, int pipeline);

}  // namespace weft::test
