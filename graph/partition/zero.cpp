// Which states each stage cuts, and which values an axis of samples leaves different on its ranks.
#include "graph/partition/zero.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "graph/partition/state_cuts.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::string_view kOptimizer = "optimizer/", kAccumulator = "accumulate/";

/// The least stage at which a state is cut; none for those that never are.
std::optional<int> stage_of(const Graph& step, const GraphInput& state) {
  const TensorType& type = step.type(state.value);
  if (type.shape.rank() < 2 || !is_float(type.dtype)) return std::nullopt;
  if (state.name.starts_with(kOptimizer)) return 1;
  if (!state.name.starts_with(kAccumulator)) return 3;
  const ValueId parameter = step.find_input(state.name.substr(kAccumulator.size()));
  return parameter != kNone && step.type(parameter) == type ? std::optional(2) : std::nullopt;
}

/// What the padded parts are larger than the whole.
double waste(std::int64_t extent, int ranks) {
  return static_cast<double>(data_parts(extent, ranks).front() * ranks) / static_cast<double>(extent);
}

/// The dimension to cut; kWhole: none can be.
int best_dimension(const TensorType& type, const Placement& placement, int ranks, std::int64_t least_bytes) {
  constexpr double kSlightly = 1.02;  ///< a little padding is better than transposing
  int best = StateCut::kWhole;
  double least = 0;
  for (int d = 0; d < type.shape.rank(); ++d) {
    const std::int64_t extent = type.shape[d];
    const bool taken = std::any_of(placement.axes.begin(), placement.axes.end(),
                                   [&](const AxisPlacement& p) { return is_split(p) && p.dimension == d; });
    if (extent < ranks || taken) continue;
    const double more = std::max(waste(extent, ranks), kSlightly);
    if (best == StateCut::kWhole || more < least) best = d, least = more;
  }
  double bytes = static_cast<double>(type.shape.elements()) * static_cast<double>(size_of(type.dtype)) / ranks;
  for (const AxisPlacement& p : placement.axes)
    if (is_split(p)) bytes *= static_cast<double>(p.extents.front()) / static_cast<double>(p.block_extent());
  return bytes < static_cast<double>(least_bytes) ? StateCut::kWhole : best;
}

/// Whether a node makes values equal on all ranks of the axis from any.
bool makes_equal(const Node& node, const std::string& axis) {
  if (class_of(node.op) != OpClass::collective || node.op == Op::reduce_scatter) return false;
  const auto& axes = node.attributes.texts("axes");
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

/// What only ranks' own values are made of is made for their samples: a constant may have as many rows as these.
void mark_read_by_own_alone(const Graph& local, const SplitAxis& axis, std::vector<bool>& own) {
  const auto at = [](ValueId v) { return static_cast<std::size_t>(v); };
  std::vector<bool> elsewhere(own.size(), false), read = elsewhere;
  for (const GraphOutput& o : local.outputs()) elsewhere[at(o.value)] = true;
  for (auto node = local.nodes().rbegin(); node != local.nodes().rend(); ++node) {
    const auto all = [&](auto test) { return std::all_of(node->outputs.begin(), node->outputs.end(), test); };
    if (!makes_equal(*node, axis.name) && all([&](ValueId v) { return read[at(v)] && !elsewhere[at(v)]; }))
      for (const ValueId v : node->outputs) own[at(v)] = true;
    const bool for_own = makes_equal(*node, axis.name) || all([&](ValueId v) { return own[at(v)]; });
    for (const ValueId v : node->inputs) (for_own ? read : elsewhere)[at(v)] = true;
  }
}

}  // namespace

Dims data_parts(std::int64_t extent, int ranks) {
  const std::int64_t part = (extent + ranks - 1) / ranks, last = extent - part * (ranks - 1);
  if (last <= 0) return split_evenly(extent, ranks);
  Dims parts(static_cast<std::size_t>(ranks - 1), part);
  parts.push_back(last);
  return parts;
}

StateCutList zero_cuts(const Graph& step, const Mesh& mesh, int stage, const StateCutList& cuts,
                       std::int64_t least_bytes) {
  if (stage < 0 || stage > 3)
    throw UserError(
        fmt::format("parallel.zero is {}; allowed are 0, 1 (optimiser states in parts), 2 (gradients too), "
                    "3 (parameters too)",
                    stage));
  const int ranks = mesh.axis_size(kSamplesAxis);
  if (stage == 0 || ranks == 1) return {};
  const auto placements = state_placements(step, mesh, cuts);
  StateCutList result;
  for (const GraphInput& i : step.inputs()) {
    const std::optional<int> least = i.role == InputRole::state ? stage_of(step, i) : std::nullopt;
    if (!least || *least > stage) continue;
    const int d = best_dimension(step.type(i.value), placements.at(i.name), ranks, least_bytes);
    if (d != StateCut::kWhole) result.push_back({i.name, kSamplesAxis, d});
  }
  return result;
}

StateCuts data_cuts(const Graph& step, const Graph& local, const Mesh& mesh, const StateCutList& cuts) {
  if (mesh.axis_size(kSamplesAxis) == 1) return {};
  StateCuts result = cuts_along(local, {kSamplesAxis, mesh.axis_size(kSamplesAxis)}, cuts);
  std::erase_if(result, [](const auto& state) { return !is_split(state.second); });
  for (const auto& [state, p] : result) {
    const Shape &whole = step.type(step.find_input(state)).shape, &left = local.type(local.find_input(state)).shape;
    if (whole[p.dimension] != left[p.dimension])
      throw UserError(
          fmt::format("dimension {} of '{}' is cut along 'data' and along another axis of the mesh {}: cut another "
                      "dimension along one of them",
                      p.dimension, state, mesh.str()));
  }
  return result;
}

std::vector<bool> values_of_ranks_own(const Graph& local, const SplitAxis& axis) {
  std::vector<bool> own(local.values().size(), false);
  const auto mark = [&](ValueId v) { own[static_cast<std::size_t>(v)] = true; };
  for (const GraphInput& i : local.inputs()) {
    const bool fed = i.role == InputRole::feed && local.type(i.value).shape.rank() > 0;
    const bool place = i.name == kRankSampleOffset || i.name == coordinate_input(axis.name);
    const bool share = i.role == InputRole::state && is_accumulator(i.name) && axis.summed.count(i.name) == 0;
    if (fed || place || share) mark(i.value);
  }
  for (const Node& node : local.nodes()) {
    if (makes_equal(node, axis.name)) continue;
    if (std::any_of(node.inputs.begin(), node.inputs.end(),
                    [&](ValueId v) { return own[static_cast<std::size_t>(v)]; }))
      std::for_each(node.outputs.begin(), node.outputs.end(), mark);
  }
  mark_read_by_own_alone(local, axis, own);
  return own;
}

}  // namespace weft
