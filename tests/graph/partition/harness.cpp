#include "tests/graph/partition/harness.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/ir/interpret.hpp"
#include "graph/partition/interpret_distributed.hpp"
#include "graph/partition/partition.hpp"

namespace weft::test {

Mesh data_mesh(int ranks) { return {{{"data", ranks}}}; }

Mesh mesh_of(int data, int tensor) { return {{{"data", data}, {"tensor", tensor}}}; }

std::vector<Table> run_ranks(const Graph& step, int ranks, const Table& inputs, const std::vector<Table>& states) {
  return run_mesh(step, data_mesh(ranks), {}, inputs, states);
}

double difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  EXPECT_EQ(a.shape(), b.shape());
  if (a.shape() != b.shape()) return HUGE_VAL;
  double worst = 0;
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    const double x = a.as_double(i), y = b.as_double(i);
    if (x == y) continue;
    const double d = std::abs(x - y) / std::max(1.0, std::abs(y));
    worst = std::isnan(d) ? HUGE_VAL : std::max(worst, d);
  }
  return worst;
}

void expect_same_on_ranks(const Graph& step, int ranks, const Table& inputs, double tolerance) {
  const Table expected = interpret(step, inputs);
  const std::vector<Table> actual = run_ranks(step, ranks, inputs);
  for (std::size_t r = 0; r < actual.size(); ++r)
    for (const auto& [name, value] : expected)
      EXPECT_LE(difference(actual[r].at(name), value), tolerance) << name << " on rank " << r << " of " << ranks;
}

double scaled_difference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.dtype(), b.dtype());
  EXPECT_EQ(a.shape(), b.shape());
  if (a.shape() != b.shape()) return HUGE_VAL;
  double worst = 0, scale = 1e-6;
  for (std::int64_t i = 0; i < a.elements(); ++i) {
    const double x = a.as_double(i), y = b.as_double(i);
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    worst = std::isnan(x - y) ? HUGE_VAL : std::max(worst, std::abs(x - y));
  }
  for (std::int64_t i = 0; i < b.elements(); ++i)
    if (std::isfinite(b.as_double(i))) scale = std::max(scale, std::abs(b.as_double(i)));
  return worst / scale;
}

void expect_same_on_mesh(const Graph& step, const Mesh& mesh, const StateCutList& cuts, const Table& inputs,
                         double tolerance) {
  const Table expected = interpret(step, inputs);
  const auto placements = state_placements(step, mesh, cuts);
  const std::vector<Table> actual = run_mesh(step, mesh, cuts, inputs);
  for (std::size_t r = 0; r < actual.size(); ++r)
    for (const GraphOutput& o : step.outputs()) {
      Tensor value = expected.at(o.name);
      if (o.role == OutputRole::state && placements.count(o.name) != 0)
        value = part_of(value, placements.at(o.name), mesh.coordinates(static_cast<int>(r)));
      EXPECT_LE(difference(actual[r].at(o.name), value), tolerance)
          << o.name << " on rank " << r << " of " << mesh.str();
    }
}

int count_of(const Graph& graph, Op op) {
  int n = 0;
  for (const Node& node : graph.nodes()) n += node.op == op ? 1 : 0;
  return n;
}

}  // namespace weft::test
