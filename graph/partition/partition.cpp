// Partitioning: placements first, then this rank's nodes.
#include "graph/partition/partition.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/partition/local_step.hpp"
#include "graph/partition/state_cuts.hpp"
#include "graph/partition/zero.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

bool cuts_parameters(const MeshAxis& axis) { return axis.name != kSamplesAxis && axis.size > 1; }

void check_axes(const Mesh& mesh, const StateCutList& cuts) {
  for (const MeshAxis& axis : mesh.axes)
    if (axis.name == "pipeline" && axis.size > 1)
      throw UserError(
          fmt::format("parallel: the mesh {} cuts the axis 'pipeline', which is not implemented: set "
                      "pipeline: 1",
                      mesh.str()));
  for (const StateCut& cut : cuts)
    if (mesh.axis_index(cut.axis) < 0)
      throw UserError(fmt::format("cut of '{}': states are cut along axes of the mesh, not along '{}'; the mesh is {}",
                                  cut.state, cut.axis, mesh.str()));
}

Graph cut_parameters(const Graph& graph, const MeshAxis& axis, int coordinate, const StateCutList& cuts) {
  const Graph opened = open_composites(graph);
  const SplitAxis along{axis.name, axis.size, -1};
  return local_step(opened, along, coordinate, place_parameters(opened, along, cuts_along(opened, axis, cuts)));
}

int data_coordinate(const Mesh& mesh, int rank) {
  const int axis = mesh.axis_index(kSamplesAxis);
  return axis < 0 ? 0 : mesh.coordinates(rank).at(static_cast<std::size_t>(axis));
}

}  // namespace

std::int64_t pass_samples(const Graph& step) {
  const GraphInput* first = nullptr;
  for (const GraphInput& i : step.inputs()) {
    if (i.role != InputRole::feed || step.type(i.value).shape.rank() == 0) continue;
    if (first == nullptr) first = &i;
    if (step.type(i.value).shape[0] != step.type(first->value).shape[0])
      throw UserError(
          fmt::format("the inputs '{}' {} and '{}' {} differ in their first dimension, which must be the "
                      "samples",
                      first->name, step.type(first->value).str(), i.name, step.type(i.value).str()));
  }
  return first == nullptr ? 0 : step.type(first->value).shape[0];
}

SampleRange rank_samples(std::int64_t samples, const Mesh& mesh, int rank) {
  const Dims shares = split_evenly(samples, mesh.axis_size(kSamplesAxis));
  const int coordinate = data_coordinate(mesh, rank);
  SampleRange range;
  for (int r = 0; r < coordinate; ++r) range.first += shares[static_cast<std::size_t>(r)];
  range.count = shares[static_cast<std::size_t>(coordinate)];
  return range;
}

std::string coordinate_input(const std::string& axis) { return "coordinate/" + axis; }

namespace {

bool cuts_evenly(const Graph& step, const Mesh& mesh, const StateCutList& cuts) {
  for (const StateCut& cut : cuts) {
    const ValueId state = cut.axis == kSamplesAxis ? kNone : step.find_input(cut.state);
    if (state == kNone || cut.dimension < 0 || cut.dimension >= step.type(state).shape.rank()) continue;
    if (step.type(state).shape[cut.dimension] % (cut.blocks * mesh.axis_size(cut.axis)) != 0) return false;
  }
  return true;
}

/// Samples are cut first, then states.
Graph cut_samples(const Graph& graph, int ranks, int coordinate, const StateCuts& states) {
  SplitAxis samples{kSamplesAxis, ranks, pass_samples(graph)};
  for (const auto& [state, p] : states)
    if (is_accumulator(state)) samples.summed.insert(state);
  const Graph local = local_step(graph, samples, coordinate, propagate(graph, samples));
  if (states.empty()) return local;
  const SplitAxis parts{kSamplesAxis, ranks, -1, samples.summed, values_of_ranks_own(local, samples)};
  return local_step(local, parts, coordinate, place_parameters(local, parts, states));
}

Graph local_of(const Graph& step, const Mesh& mesh, const std::vector<int>& at, const StateCutList& cuts) {
  Graph local = step;
  for (std::size_t a = 0; a < mesh.axes.size(); ++a)
    if (cuts_parameters(mesh.axes[a])) local = cut_parameters(local, mesh.axes[a], at[a], cuts);
  if (const int size = mesh.axis_size(kSamplesAxis); size > 1)
    local = cut_samples(local, size, at[static_cast<std::size_t>(mesh.axis_index(kSamplesAxis))],
                        data_cuts(step, local, mesh, cuts));
  local.verify();
  return local;
}

/// The exchanges of a local graph, in order, whatever their sizes.
std::vector<std::string> exchanges_of(const Graph& local) {
  std::vector<std::string> result;
  for (const Node& node : local.nodes())
    if (class_of(node.op) == OpClass::collective)
      result.push_back(
          fmt::format("{} {} {}", name_of(node.op), fmt::join(node.attributes.texts("axes"), "+"), node.name));
  return result;
}

/// What one axis leaves is cut by the next from its shapes, and these differ between ranks where parts are uneven: the
/// largest are first, the smallest last.
void check_forms(const Graph& step, const Mesh& mesh, const StateCutList& cuts) {
  std::vector<int> first(mesh.axes.size(), 0), last = first;
  for (std::size_t a = 0; a < last.size(); ++a)
    if (cuts_parameters(mesh.axes[a])) last[a] = mesh.axes[a].size - 1;
  if (exchanges_of(local_of(step, mesh, first, cuts)) != exchanges_of(local_of(step, mesh, last, cuts)))
    throw UserError(fmt::format(
        "the cuts leave parts of different extents on the mesh {}, and the graph takes different forms for them: cut "
        "dimensions that its axes divide",
        mesh.str()));
}

bool all_even(const std::map<std::string, Placement>& placements, std::size_t axis) {
  return std::all_of(placements.begin(), placements.end(),
                     [&](const auto& state) { return state.second.axes[axis].is_even(); });
}

bool all_even(const std::map<std::string, Placement>& placements, const Mesh& mesh) {
  for (std::size_t a = 0; a < mesh.axes.size(); ++a)
    if (cuts_parameters(mesh.axes[a]) && !all_even(placements, a)) return false;
  return true;
}

/// The first coordinate along axis `a` whose parts of all states are as large as those at `coordinate`.
int alike(const std::map<std::string, Placement>& placements, std::size_t a, int coordinate) {
  const auto equal = [&](int other) {
    return std::all_of(placements.begin(), placements.end(), [&](const auto& state) {
      const AxisPlacement& p = state.second.axes[a];
      return !is_split(p) || p.local_extent(other) == p.local_extent(coordinate);
    });
  };
  int other = 0;
  while (!equal(other)) ++other;
  return other;
}

/// Where one axis cuts again what another left in unequal parts, ranks differ in more than their place along it.
void check_cut_again(const std::string& state, const Placement& placement, const Mesh& mesh) {
  for (std::size_t b = 0; b < mesh.axes.size(); ++b)
    for (std::size_t a = 0; a < b; ++a) {
      const AxisPlacement &first = placement.axes[a], &second = placement.axes[b];
      if (is_split(first) && is_split(second) && first.dimension == second.dimension && !first.is_even())
        throw UserError(fmt::format(
            "dimension {} of '{}' is cut along the mesh axes '{}' and '{}', and '{}' leaves unequal parts of "
            "it: cut another dimension, or one that '{}' divides",
            first.dimension, state, mesh.axes[a].name, mesh.axes[b].name, mesh.axes[a].name, mesh.axes[a].name));
    }
}

}  // namespace

Graph partition(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts) {
  check_internal(rank >= 0 && rank < mesh.ranks(), "partition: the rank is outside the mesh");
  check_axes(mesh, cuts);
  // One axis may leave what another cannot cut evenly.
  const bool several = std::count_if(mesh.axes.begin(), mesh.axes.end(), cuts_parameters) > 1;
  if ((several || !cuts_evenly(step, mesh, cuts)) && !all_even(state_placements(step, mesh, cuts), mesh))
    check_forms(step, mesh, cuts);
  return local_of(step, mesh, mesh.coordinates(rank), cuts);
}

std::map<std::string, Placement> state_placements(const Graph& step, const Mesh& mesh, const StateCutList& cuts) {
  check_axes(mesh, cuts);
  std::map<std::string, Placement> result;
  for (const GraphInput& i : step.inputs())
    if (i.role == InputRole::state) result[i.name].axes.resize(mesh.axes.size());
  Graph local = step;
  for (std::size_t a = 0; a < mesh.axes.size(); ++a) {
    const MeshAxis& axis = mesh.axes[a];
    if (!cuts_parameters(axis)) continue;
    const Graph opened = open_composites(local);
    const SplitAxis along{axis.name, axis.size, -1};
    Placements placements = place_parameters(opened, along, cuts_along(opened, axis, cuts));
    for (const GraphInput& i : opened.inputs())
      if (i.role == InputRole::state) result.at(i.name).axes[a] = placements.values[static_cast<std::size_t>(i.value)];
    local = local_step(opened, along, 0, std::move(placements));
  }
  for (auto& [state, p] : data_cuts(step, local, mesh, cuts))
    result.at(state).axes[static_cast<std::size_t>(mesh.axis_index(kSamplesAxis))] = std::move(p);
  for (const StateCut& cut : cuts)  // those that a user named before those that follow
    if (const auto named = result.find(cut.state); named != result.end())
      check_cut_again(cut.state, named->second, mesh);
  for (const auto& [state, placement] : result) check_cut_again(state, placement, mesh);
  return result;
}

bool parameters_are_even(const Graph& step, const Mesh& mesh, const StateCutList& cuts) {
  return std::none_of(mesh.axes.begin(), mesh.axes.end(), cuts_parameters) ||
         all_even(state_placements(step, mesh, cuts), mesh);
}

StateCutList settled_cuts(const Mesh& mesh, const std::map<std::string, Placement>& placements) {
  StateCutList result;
  for (const auto& [state, placement] : placements)
    for (std::size_t a = 0; a < mesh.axes.size(); ++a) {
      const AxisPlacement& p = placement.axes.at(a);
      if (!cuts_parameters(mesh.axes[a]) && !is_split(p)) continue;
      result.push_back({state, mesh.axes[a].name, is_split(p) ? p.dimension : StateCut::kWhole, p.blocks});
    }
  return result;
}

std::string role_key(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts) {
  const std::int64_t samples = pass_samples(step);
  std::string key = fmt::format("data samples={} of {} over {}", rank_samples(samples, mesh, rank).count, samples,
                                mesh.axis_size(kSamplesAxis));
  const std::vector<int> at = mesh.coordinates(rank);
  const int data = mesh.axis_index(kSamplesAxis);
  const bool shards = mesh.axis_size(kSamplesAxis) > 1 &&
                      std::any_of(cuts.begin(), cuts.end(), [](const StateCut& c) { return c.axis == kSamplesAxis; });
  if (!shards && std::none_of(mesh.axes.begin(), mesh.axes.end(), cuts_parameters)) return key;
  const auto placements = state_placements(step, mesh, cuts);
  if (const auto a = static_cast<std::size_t>(data); shards && !all_even(placements, a))
    key += fmt::format(", parts of data {}", alike(placements, a, at[a]));
  bool even = true;  // what one axis leaves in unequal parts, the next may cut unequally on some ranks only
  for (std::size_t a = 0; a < mesh.axes.size(); ++a) {
    if (!cuts_parameters(mesh.axes[a])) continue;
    even = even && all_even(placements, a);
    key += even ? fmt::format(", {} over {}", mesh.axes[a].name, mesh.axes[a].size)
                : fmt::format(", {} {} of {}", mesh.axes[a].name, at[a], mesh.axes[a].size);
  }
  return key;
}

}  // namespace weft
