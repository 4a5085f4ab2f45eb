// Runs one graph over the ranks of a mesh on the host.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "graph/partition/partition.hpp"

namespace weft::test {

using Table = std::map<std::string, Tensor>;

/// `count` rows of t from `first`.
Tensor rows(const Tensor& t, std::int64_t first, std::int64_t count);

/// What the rank at these coordinates holds of a tensor.
Tensor part_of(Tensor whole, const Placement& placement, const std::vector<int>& at);

/// The rank's graph as it is lowered: what `partition` gives, gathers repeated and small exchanges packed.
Graph exchanged_graph(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts);

/// Each rank's outputs of `step` partitioned over the mesh. Inputs are those of the unsharded graph, states whole; each
/// rank gets its part, or what `states` says. Runs `exchanged_graph`, or what `partition` gives. Throws
/// std::logic_error where ranks of one role have different graphs.
std::vector<Table> run_mesh(const Graph& step, const Mesh& mesh, const StateCutList& cuts, const Table& inputs,
                            const std::vector<Table>& states = {}, bool as_lowered = true);

}  // namespace weft::test
