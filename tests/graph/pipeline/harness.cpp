#include "tests/graph/pipeline/harness.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace weft::test {
namespace {

double scaled_distance(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  EXPECT_EQ(a.shape(), b.shape());
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return HUGE_VAL;
  double worst = 0, scale = 1e-6;
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    const double x = a.as_double(i), y = b.as_double(i);
    if (std::isfinite(y)) scale = std::max(scale, std::abs(y));
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    worst = std::isnan(x - y) ? HUGE_VAL : std::max(worst, std::abs(x - y));
  }
  return worst / scale;
}

}  // namespace

Mesh pipeline_mesh(int ranks) { return {{{"pipeline", ranks}}}; }
Mesh mesh_of(int data, int tensor, int pipeline) {
  return {{{"data", data}, {"tensor", tensor}, {"pipeline", pipeline}}};
}

void expect_trains_alike(const PassedStep& step, const Mesh& mesh, int chunks, double tolerance,
                         const StateCutList& cuts, int steps) {
  SCOPED_TRACE(mesh.str() + ", chunks " + std::to_string(chunks) + ", micro-batches " +
               std::to_string(step.micro_batches));
  const PipelinedStep pipelined(step, mesh, chunks, cuts);
  for (const Delivery delivery : {Delivery::early, Delivery::late}) {
    Table whole = step.states();
    auto states = pipelined.initial_states(whole);
    for (int n = 0; n < steps; ++n) {
      const Table feeds = step.feeds(n);
      const auto fetches = pipelined.run(states, feeds, delivery);
      const Table expected = step.run(whole, feeds);
      for (std::size_t r = 0; r < states.size(); ++r)
        for (std::size_t c = 0; c < states[r].size(); ++c) {
          for (const auto& [name, value] : expected) {
            ASSERT_TRUE(fetches[r][c].count(name)) << name;
            EXPECT_LE(scaled_distance(fetches[r][c].at(name), value), tolerance) << name << " at " << r << "," << c;
          }
          for (const auto& [name, value] : states[r][c]) {
            if (name.starts_with(kAccumulated)) continue;
            EXPECT_LE(scaled_distance(value, pipelined.part(static_cast<int>(r), name, whole.at(name))), tolerance)
                << name << " at " << r << "," << c << " after step " << n;
          }
        }
    }
  }
}

}  // namespace weft::test
