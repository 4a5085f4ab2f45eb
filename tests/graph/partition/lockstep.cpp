#include "tests/graph/partition/lockstep.hpp"

#include <algorithm>
#include <stdexcept>

#include "graph/ir/interpret.hpp"
#include "graph/partition/interpret_distributed.hpp"
#include "graph/partition/pack_exchanges.hpp"
#include "graph/partition/regather.hpp"

namespace weft::test {

Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count) {
  const auto row = t.shape()[0] == 0 ? 0 : t.bytes() / static_cast<std::size_t>(t.shape()[0]);
  Tensor part(t.dtype(), t.shape().with(0, count));
  std::copy_n(t.data() + static_cast<std::size_t>(first) * row, static_cast<std::size_t>(count) * row,
              part.mutable_data());
  return part;
}

Tensor part_of(Tensor whole, const Placement& placement, const std::vector<int>& at) {
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

Graph exchanged_graph(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts) {
  const Graph gathered = regather(partition(step, mesh, rank, cuts));
  return parameters_are_even(step, mesh, cuts) ? pack_exchanges(gathered, kMostPackedBytes) : gathered;
}

std::vector<Table> run_mesh(const Graph& step, const Mesh& mesh, const StateCutList& cuts, const Table& inputs,
                            const std::vector<Table>& states, bool as_lowered) {
  const int ranks = mesh.ranks();
  const std::int64_t samples = pass_samples(step);
  const std::map<std::string, Placement> placements = state_placements(step, mesh, cuts);
  std::vector<Graph> graphs;
  std::vector<Table> tables;
  std::map<std::string, std::string> roles;
  for (int r = 0; r < ranks; ++r) {
    graphs.push_back(as_lowered ? exchanged_graph(step, mesh, r, cuts) : partition(step, mesh, r, cuts));
    const auto [role, fresh] = roles.emplace(role_key(step, mesh, r, cuts), graphs.back().str());
    if (role->second != graphs.back().str()) throw std::logic_error("ranks of one role have different graphs");
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
        table[i.name] = part_of(inputs.at(i.name), placements.at(i.name), mesh.coordinates(r));
      else
        table[i.name] = inputs.at(i.name);
    }
    tables.push_back(std::move(table));
  }
  return interpret_distributed(mesh, graphs, tables);
}

}  // namespace weft::test
