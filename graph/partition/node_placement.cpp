// Rules of operators, and the choice between the ways that they leave.
#include "graph/partition/node_placement.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/op_rules.hpp"
#include "graph/ir/ops/placement.hpp"
#include "graph/partition/costs.hpp"
#include "graph/partition/cut_axis.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using Given = std::vector<AxisPlacement>;

NodePlacement all_whole(const Node& node) {
  return {Given(node.inputs.size(), replicated()), Given(node.outputs.size(), replicated())};
}

/// Each rank has one run of samples.
bool is_by_samples(const AxisPlacement& p) { return p.dimension == 0 && p.blocks == 1 && p.block_extent() > 0; }

AxisPlacement group_split(const AxisPlacement& x, std::int64_t group) {
  Dims extents = x.extents;
  for (std::int64_t& n : extents) n /= group;
  return split(0, std::move(extents));
}

/// Channels are independent: the statistics of some are with them. Operands up to `activations` are like x; the others,
/// and results, have channels last.
NodePlacement by_channels(const Graph& graph, const Node& node, const AxisPlacement& x, std::size_t activations) {
  NodePlacement answer = all_whole(node);
  const auto place = [&](ValueId v, bool like_x, AxisPlacement& to) {
    to = ops::moved(x, like_x ? x.dimension : graph.type(v).shape.rank() - 1);
  };
  for (std::size_t i = 0; i < node.inputs.size(); ++i) place(node.inputs[i], i < activations, answer.operands[i]);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) place(node.outputs[i], i == 0, answer.results[i]);
  return answer;
}

NodePlacement batch_norm(const Graph& graph, const Node& node, const Given& given) {
  NodePlacement answer = all_whole(node);
  if (!is_split(given[0])) return answer;
  if (given[0].dimension == node.attributes.integer("axis")) return by_channels(graph, node, given[0], 1);
  if (!is_by_samples(given[0])) return answer;
  answer.operands[0] = answer.results[0] = given[0];
  if (node.inputs.size() == 5) return answer;
  const std::int64_t groups = node.attributes.integer("groups");
  if (groups_are_local(given[0], groups))
    answer.results[1] = answer.results[2] = group_split(given[0], graph.type(node.inputs[0]).shape[0] / groups);
  return answer;
}

/// Operands dy, x, scale, mean, variance; results dx, dscale, dbias.
NodePlacement batch_norm_grad(const Graph& graph, const Node& node, const Given& given) {
  NodePlacement answer = all_whole(node);
  const AxisPlacement& x = is_split(given[1]) ? given[1] : given[0];
  if (!is_split(x)) return answer;
  if (x.dimension == node.attributes.integer("axis")) return by_channels(graph, node, x, 2);
  if (!is_by_samples(x)) return answer;
  answer.operands[0] = answer.operands[1] = answer.results[0] = x;
  const std::int64_t groups = node.attributes.integer("groups");
  if (!groups_are_local(x, groups)) return answer;
  answer.operands[3] = answer.operands[4] = group_split(x, graph.type(node.inputs[1]).shape[0] / groups);
  answer.results[1] = answer.results[2] = partial();
  return answer;
}

NodePlacement moments(const Node& node, const Given& given) {
  NodePlacement answer = all_whole(node);
  if (!is_split(given[0])) return answer;
  answer.operands[0] = given[0];
  const Dims& dims = node.attributes.integers("dims");
  if (ops::contains(dims, given[0].dimension)) return answer;
  answer.results[0] = answer.results[1] = ops::moved(given[0], ops::without(given[0].dimension, dims));
  return answer;
}

NodePlacement dropout(const Graph& graph, const Node& node, const Given& given) {
  NodePlacement answer = all_whole(node);
  if (!is_split(given[0]) || (node.inputs.size() > 1 && given[0].blocks != 1)) return answer;
  if (node.inputs.size() > 1 && node.attributes.integer("sample_dim") != given[0].dimension)
    throw UserError(fmt::format(
        "dropout node '{}': the samples lie along dimension {} of {}, but its random numbers "
        "follow dimension {}; such a model runs on one rank only",
        node.name, given[0].dimension, graph.type(node.inputs[0]).str(), node.attributes.integer("sample_dim")));
  answer.operands[0] = answer.results[0] = given[0];
  return answer;
}

/// An accumulator plus something whole: one rank adds it. Whether a pass's sum is whole may differ between passes
/// of one step (groups that span ranks in one of them), what the state holds may not.
bool adds_to_accumulator(const Graph& graph, const Node& node, const Given& given) {
  if (node.op != Op::add) return false;
  for (const std::size_t i : {0, 1})
    if (is_partial(given[i]) && is_replicated(given[1 - i]) && graph.value(node.inputs[i]).producer == kNone)
      return true;
  return false;
}

NodePlacement by_rule(const Graph& graph, const Node& node, const Given& given) {
  switch (node.op) {
    case Op::batch_norm: return batch_norm(graph, node, given);
    case Op::batch_norm_grad: return batch_norm_grad(graph, node, given);
    case Op::moments: return moments(node, given);
    case Op::dropout: return dropout(graph, node, given);
    default: break;
  }
  if (adds_to_accumulator(graph, node, given)) return {{partial(), partial()}, {partial()}};
  const PlacementRule rule = rules_of(node.op).placement;
  if (rule == nullptr || std::all_of(given.begin(), given.end(), is_replicated)) return all_whole(node);
  PlacementAnswer answer = rule(node, types_of(graph, node.inputs), types_of(graph, node.outputs), given, 0);
  check_internal(answer.operands.size() == node.inputs.size() && answer.results.size() == node.outputs.size(),
                 fmt::format("placement rule of {} answers for another number of values", name_of(node.op)));
  return {std::move(answer.operands), std::move(answer.results)};
}

/// Seconds to bring the operands there, and to take the sums that are left.
double exchange_seconds(const Graph& graph, const SplitAxis& axis, const Node& node, const Given& given,
                        const NodePlacement& answer) {
  StepCost cost;
  const auto add = [&](ValueId v, const AxisPlacement& from, const AxisPlacement& to) {
    const double bytes = moved_bytes(graph.type(v), from, to, axis.size);
    cost.moved += bytes;
    cost.collectives += bytes > 0 ? 1 : 0;
  };
  for (std::size_t i = 0; i < given.size(); ++i) add(node.inputs[i], given[i], answer.operands[i]);
  for (std::size_t i = 0; i < answer.results.size(); ++i)
    if (is_partial(answer.results[i])) add(node.outputs[i], partial(), replicated());
  return seconds(cost);
}

/// What else the operands could be taken for: one cut at a time where there are several, and whole ones as shares
/// beside shares (one rank's, and zeros elsewhere).
std::vector<Given> alternatives(const Given& given) {
  std::vector<Given> result;
  const auto cuts = std::count_if(given.begin(), given.end(), is_split);
  const auto sums = std::count_if(given.begin(), given.end(), is_partial);
  for (std::size_t i = 0; cuts > 1 && i < given.size(); ++i) {
    if (!is_split(given[i])) continue;
    Given alone(given.size(), replicated());
    alone[i] = given[i];
    result.push_back(std::move(alone));
  }
  if (sums > 0 && cuts == 0 && sums < static_cast<long>(given.size())) result.emplace_back(given.size(), partial());
  return result;
}

}  // namespace

std::vector<TensorType> types_of(const Graph& graph, const std::vector<ValueId>& values) {
  std::vector<TensorType> result;
  for (const ValueId v : values) result.push_back(graph.type(v));
  return result;
}

NodePlacement place_node(const Graph& graph, const SplitAxis& axis, const Node& node, const Given& given) {
  NodePlacement best = by_rule(graph, node, given);
  if (axis.carries_samples()) return best;
  double least = exchange_seconds(graph, axis, node, given, best);
  const auto consider = [&](NodePlacement answer) {
    const double time = exchange_seconds(graph, axis, node, given, answer);
    if (time >= least) return;
    least = time;
    best = std::move(answer);
  };
  for (const Given& other : alternatives(given)) consider(by_rule(graph, node, other));
  if (auto answer = place_along_cut(graph, node, given)) consider(std::move(*answer));
  return best;
}

namespace {

std::optional<Given> operands_of_cut_broadcast(const Graph& graph, const Node& node, const AxisPlacement& wanted) {
  const Dims& dims = node.attributes.integers("dims");
  const auto source = std::find(dims.begin(), dims.end(), wanted.dimension);
  const auto d = static_cast<int>(source - dims.begin());
  if (source == dims.end() || graph.type(node.inputs[0]).shape[d] == 1) return Given{replicated()};
  return Given{ops::moved(wanted, d)};
}

/// A reshape back is a reshape.
std::optional<Given> operands_of_cut_reshape(const Graph& graph, const Node& node, const AxisPlacement& wanted) {
  const PlacementRule rule = rules_of(Op::reshape).placement;
  const Node back{Op::reshape, {}, {{"shape", graph.type(node.inputs[0]).shape.extents()}}, {}, {}, std::nullopt, {}};
  const std::vector<TensorType> from = types_of(graph, node.inputs), to = types_of(graph, node.outputs);
  const AxisPlacement operand = rule(back, to, from, Given{wanted}, 0).results[0];
  if (!is_split(operand) || rule(node, from, to, Given{operand}, 0).results[0] != wanted) return std::nullopt;
  return Given{operand};
}

}  // namespace

std::optional<Given> operands_of_cut(const Graph& graph, const Node& node, const AxisPlacement& wanted) {
  if (is_pointwise(node.op)) return Given(node.inputs.size(), wanted);
  if (node.op == Op::broadcast) return operands_of_cut_broadcast(graph, node, wanted);
  if (node.op == Op::reshape) return operands_of_cut_reshape(graph, node, wanted);
  if (node.op == Op::transpose)
    return Given{ops::moved(wanted, node.attributes.integers("order").at(static_cast<std::size_t>(wanted.dimension)))};
  return std::nullopt;
}

}  // namespace weft
