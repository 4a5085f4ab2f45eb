// Checks of cuts, and the graph as an axis of parameters wants it.
#include "graph/partition/state_cuts.hpp"

#include <fmt/format.h>

#include "graph/ir/op_rules.hpp"
#include "graph/partition/early_sums.hpp"
#include "graph/partition/zero.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

AxisPlacement checked(const TensorType& type, const MeshAxis& axis, const StateCut& cut) {
  const auto fail = [&](const std::string& why) {
    throw UserError(fmt::format("cut of '{}' {} along the mesh axis '{}': {}", cut.state, type.str(), axis.name, why));
  };
  if (cut.dimension == StateCut::kWhole) return replicated();
  if (cut.dimension < 0 || cut.dimension >= type.shape.rank())
    fail(fmt::format("there is no dimension {}; the first is 0", cut.dimension));
  const std::int64_t extent = type.shape[cut.dimension];
  if (cut.blocks < 1 || extent % cut.blocks != 0)
    fail(fmt::format("dimension {} of extent {} is not {} equal blocks", cut.dimension, extent, cut.blocks));
  if (extent / cut.blocks < axis.size)
    fail(fmt::format("{} indices of dimension {} are too few for {} ranks; cut another dimension or leave it whole",
                     extent / cut.blocks, cut.dimension, axis.size));
  const std::int64_t run = extent / cut.blocks;
  AxisPlacement p =
      split(cut.dimension, axis.name == "data" ? data_parts(run, axis.size) : split_evenly(run, axis.size));
  p.blocks = cut.blocks;
  return p;
}

}  // namespace

Graph open_composites(const Graph& graph) {
  return decompose(graph, [](const Node& node) {
    return is_pointwise(node.op) || node.op == Op::moments || node.op == Op::attention ||
           node.op == Op::attention_grad || node.op == Op::batch_norm || node.op == Op::batch_norm_grad;
  });
}

StateCuts cuts_along(const Graph& graph, const MeshAxis& axis, const StateCutList& cuts) {
  StateCuts result;
  for (const StateCut& cut : cuts) {
    if (cut.axis != axis.name) continue;
    const ValueId state = graph.find_input(cut.state);
    if (state == kNone) continue;  // evaluation has no moments
    if (!result.emplace(cut.state, checked(graph.type(state), axis, cut)).second)
      throw UserError(fmt::format("'{}' is cut twice along the mesh axis '{}'", cut.state, axis.name));
  }
  return result;
}

Placements place_parameters(const Graph& opened, const SplitAxis& axis, const StateCuts& states) {
  const Placements late = propagate(opened, axis, states);
  std::set<ValueId> sums = best_sums(opened, late, axis);
  for (const auto& [v, to] : late.settled)
    if (is_split(to)) sums.erase(v);  // propagation finds it again, and how it is cut
  return propagate(opened, axis, states, sums);
}

}  // namespace weft
