// Kernel bodies: some nodes of a graph as a graph of their own.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "graph/lowering/units.hpp"

namespace weft::lowering {

/// A kernel's unit from `nodes` (any order): inputs are the values that they read and do not make, in first-use order;
/// outputs are `outputs`. Scalar constants are copied into the body instead of becoming inputs, but for operands of
/// contractions. Inputs have the layouts that the graph's values prefer, but for contractions, which choose their own.
Unit make_unit(const Graph& graph, const std::set<NodeId>& nodes, const std::vector<ValueId>& outputs,
               std::string name);

/// A constant of one element: it travels inside kernel bodies.
bool is_scalar_constant(const Graph& graph, ValueId value);

/// The body with layouts set on its inputs (in order) and cleared everywhere else; nullopt leaves an input free.
Graph with_input_layouts(const Graph& body, const std::vector<std::optional<Layout>>& layouts);

/// A copy between two layouts of one shape.
Graph reorder_body(DType type, const Layout& from, const Layout& to);

}  // namespace weft::lowering
