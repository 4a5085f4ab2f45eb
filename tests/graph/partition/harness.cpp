#include "tests/graph/partition/harness.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/ir/interpret.hpp"
#include "graph/partition/interpret_distributed.hpp"
#include "graph/partition/partition.hpp"

namespace weft::test {

Mesh data_mesh(int ranks) { return {{{"data", ranks}}}; }

Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count) {
  const auto row = t.shape()[0] == 0 ? 0 : t.bytes() / static_cast<std::size_t>(t.shape()[0]);
  Tensor part(t.dtype(), t.shape().with(0, count));
  std::copy_n(t.data() + static_cast<std::size_t>(first) * row, static_cast<std::size_t>(count) * row,
              part.mutable_data());
  return part;
}

Mesh mesh_of(int data, int tensor) { return {{{"data", data}, {"tensor", tensor}}}; }

namespace {

/// What a rank holds of a state.
Tensor share(Tensor whole, const Placement& placement, const std::vector<int>& at) {
  for (std::size_t a = 0; a < placement.axes.size(); ++a) {
    const AxisPlacement& p = placement.axes[a];
    if (p.kind != AxisPlacement::Kind::split) continue;
    std::int64_t first = 0;
    for (int r = 0; r < at[a]; ++r) first += p.extents[static_cast<std::size_t>(r)];
    std::vector<std::int64_t> indices;
    for (std::int64_t b = 0; b < p.blocks; ++b)
      for (std::int64_t i = 0; i < p.extents[static_cast<std::size_t>(at[a])]; ++i)
        indices.push_back(b * p.block_extent() + first + i);
    const auto count = static_cast<std::int64_t>(indices.size());
    const Node node{Op::gather, {}, {{"axis", std::int64_t{p.dimension}}}, {}, {}, std::nullopt, {}};
    whole = interpret_node(node, {{whole.dtype(), whole.shape().with(p.dimension, count)}},
                           {whole, Tensor::from<std::int64_t>({count}, indices)})[0];
  }
  return whole;
}

}  // namespace

std::vector<Table> run_mesh(const Graph& step, const Mesh& mesh, const StateCutList& cuts, const Table& inputs,
                            const std::vector<Table>& states) {
  const int ranks = mesh.ranks();
  const std::int64_t samples = pass_samples(step);
  const std::map<std::string, Placement> placements = state_placements(step, mesh, cuts);
  std::vector<Graph> graphs;
  std::vector<Table> tables;
  std::map<std::string, std::string> roles;
  for (int r = 0; r < ranks; ++r) {
    graphs.push_back(partition(step, mesh, r, cuts));
    const auto [role, fresh] = roles.emplace(role_key(step, mesh, r, cuts), graphs.back().str());
    EXPECT_EQ(role->second, graphs.back().str()) << "ranks of one role have one graph";
    const SampleRange range = rank_samples(samples, mesh, r);
    Table table;
    for (const GraphInput& i : graphs.back().inputs()) {
      if (i.name == kRankSampleOffset)
        table[i.name] = Tensor::scalar(range.first);
      else if (i.name.starts_with("coordinate/"))
        table[i.name] = Tensor::scalar<std::int64_t>(
            mesh.coordinates(r)[static_cast<std::size_t>(mesh.axis_index(i.name.substr(11)))]);
      else if (i.role == InputRole::feed && inputs.at(i.name).shape().rank() > 0)
        table[i.name] = rows(inputs.at(i.name), range.first, range.count);
      else if (i.role == InputRole::state && !states.empty())
        table[i.name] = states[static_cast<std::size_t>(r)].at(i.name);
      else if (i.role == InputRole::state)
        table[i.name] = share(inputs.at(i.name), placements.at(i.name), mesh.coordinates(r));
      else
        table[i.name] = inputs.at(i.name);
    }
    tables.push_back(std::move(table));
  }
  return interpret_distributed(mesh, graphs, tables);
}

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
        value = share(value, placements.at(o.name), mesh.coordinates(static_cast<int>(r)));
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
