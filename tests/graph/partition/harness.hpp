// Runs one graph unsharded and over ranks, and compares.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/graph/partition/lockstep.hpp"
#include "weft/graph.hpp"
#include "weft/mesh.hpp"

namespace weft::test {

Mesh data_mesh(int ranks);
Mesh mesh_of(int data, int tensor);

/// Each rank's outputs of `step` partitioned over `ranks`; inputs are those of the unsharded graph, but states may be
/// given per rank in `states`.
std::vector<Table> run_ranks(const Graph& step, int ranks, const Table& inputs, const std::vector<Table>& states = {});

/// The largest |a - b| / max(1, |b|); fails on different types.
double difference(const Tensor& a, const Tensor& b);

/// The largest |a - b| over the largest finite |b| (at least 1e-6); NaN equals NaN.
double scaled_difference(const Tensor& a, const Tensor& b);

/// Every rank's outputs are those of the unsharded graph within `tolerance`.
void expect_same_on_ranks(const Graph& step, int ranks, const Table& inputs, double tolerance);

/// The same over a mesh, each output by its own scale; a state's new value is compared with the rank's part of the
/// unsharded one.
void expect_same_on_mesh(const Graph& step, const Mesh& mesh, const StateCutList& cuts, const Table& inputs,
                         double tolerance);

/// How many nodes of this operator there are.
int count_of(const Graph& graph, Op op);

}  // namespace weft::test
