#include "tests/graph/pipeline/harness.hpp"

#include <gtest/gtest.h>

namespace weft::test {

Mesh pipeline_mesh(int ranks) { return {{{"pipeline", ranks}}}; }
Mesh mesh_of(int data, int tensor, int pipeline) {
  return {{{"data", data}, {"tensor", tensor}, {"pipeline", pipeline}}};
}

void expect_trains_alike(const PassedStep& step, const Mesh& mesh, int chunks, double tolerance,
                         const StateCutList& cuts, int steps) {
  EXPECT_EQ(first_difference(step, mesh, chunks, tolerance, cuts, steps), "")
      << mesh.str() << ", chunks " << chunks << ", micro-batches " << step.micro_batches;
}

}  // namespace weft::test
