// Partitioning: placements first, then this rank's nodes.
#include "graph/partition/partition.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/op_rules.hpp"
#include "graph/partition/cut_axis.hpp"
#include "graph/partition/local_graph.hpp"
#include "graph/partition/node_placement.hpp"
#include "graph/partition/normalisation.hpp"
#include "graph/partition/state_cuts.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// batch_norm and its gradient where this rank has no samples at all: nothing to normalise, no collective either,
/// because all groups are inside other ranks.
std::vector<ValueId> append_empty_normalisation(LocalGraph& local, const Node& node, ValueId like_first) {
  GraphBuilder& b = local.builder();
  const std::int64_t channels = local.global().type(node.inputs[node.op == Op::batch_norm ? 1 : 2]).shape[0];
  const bool forward = node.op == Op::batch_norm;
  const ValueId zeros = b.full(b.dtype(like_first), forward ? Shape{0, channels} : Shape{channels}, 0);
  return {like_first, zeros, zeros};
}

/// The local graph of one coordinate of one axis.
class Partitioner {
 public:
  Partitioner(const Graph& step, const SplitAxis& axis, int coordinate, Placements placements)
      : step_(step),
        axis_(axis),
        coordinate_(coordinate),
        placements_(std::move(placements)),
        local_(step, placements_, axis_, coordinate) {}

  Graph run() {
    GraphBuilder& b = local_.builder();
    for (const GraphInput& i : step_.inputs())
      local_.define(i.value, b.input(i.name, i.role, local_.local_type(i.value, placement(i.value))));
    for (std::size_t n = 0; n < step_.nodes().size(); ++n) {
      const Node& node = step_.nodes()[n];
      const ScopedName name(b, node.name);
      const std::vector<ValueId> results = append(node, placements_.operands[n]);
      for (std::size_t i = 0; i < results.size(); ++i) local_.define(node.outputs[i], results[i]);
    }
    for (const GraphOutput& o : step_.outputs()) b.output(o.name, o.role, local_.get(o.value, output_placement(o)));
    return std::move(b).take();
  }

 private:
  const AxisPlacement& placement(ValueId v) const { return placements_.values[static_cast<std::size_t>(v)]; }

  AxisPlacement output_placement(const GraphOutput& o) const {
    if (axis_.carries_samples()) return holds_share(o) ? partial() : replicated();
    const ValueId state = o.role == OutputRole::state ? step_.find_input(o.name) : kNone;
    return state == kNone ? replicated() : placement(state);
  }

  std::vector<ValueId> append(const Node& node, const std::vector<AxisPlacement>& wanted) {
    const bool normalises = (node.op == Op::batch_norm && node.inputs.size() == 3) || node.op == Op::batch_norm_grad;
    if (normalises && is_split(wanted[0]) && wanted[0].dimension == 0) return append_normalisation(node, wanted[0]);
    if (!axis_.carries_samples() && place_along_cut(step_, node, wanted))
      return append_along_cut(local_, node, wanted[0]);
    if (node.op == Op::moments && is_split(wanted[0]) && is_replicated(placement(node.outputs[0])))
      return append_local_moments(local_, node, wanted[0]);
    if (node.op == Op::dropout && node.inputs.size() == 4 && is_split(wanted[0]))
      return append_dropout(node, wanted[0]);
    Node copy = node;
    for (std::size_t i = 0; i < copy.inputs.size(); ++i) copy.inputs[i] = local_.get(node.inputs[i], wanted[i]);
    const bool whole = std::all_of(wanted.begin(), wanted.end(), is_replicated);
    if (!whole) copy.attributes = local_attributes(node, wanted);
    return local_.builder().append(std::move(copy));
  }

  Attributes local_attributes(const Node& node, const std::vector<AxisPlacement>& wanted) const {
    const PlacementRule rule = rules_of(node.op).placement;
    if (rule == nullptr) return node.attributes;
    return rule(node, types_of(step_, node.inputs), types_of(step_, node.outputs), wanted, coordinate_)
        .local_attributes;
  }

  std::vector<ValueId> append_normalisation(const Node& node, const AxisPlacement& x) {
    const std::int64_t groups = node.attributes.integer("groups");
    const bool forward = node.op == Op::batch_norm;
    if (!groups_are_local(x, groups))
      return forward ? append_local_batch_norm(local_, node, x) : append_local_batch_norm_grad(local_, node, x);
    const std::int64_t samples = x.extents.at(static_cast<std::size_t>(coordinate_));
    const std::int64_t group = step_.type(node.inputs[0]).shape[0] / groups;
    Node copy = node;
    copy.attributes.set("groups", samples / group);
    AxisPlacement statistics = x;
    for (std::int64_t& n : statistics.extents) n /= group;
    for (std::size_t i = 0; i < copy.inputs.size(); ++i) {
      const bool per_sample = i == 0 || (!forward && i == 1), per_group = !forward && i >= 3;
      copy.inputs[i] = local_.get(node.inputs[i], per_sample ? x : per_group ? statistics : replicated());
    }
    // Operands first: bringing them may take exchanges, in which ranks without samples take part.
    if (samples == 0) return append_empty_normalisation(local_, node, copy.inputs[0]);
    return local_.builder().append(std::move(copy));
  }

  std::vector<ValueId> append_dropout(const Node& node, const AxisPlacement& x) {
    Node copy = node;
    copy.inputs[0] = local_.get(node.inputs[0], x);
    for (const std::size_t i : {1, 2, 3}) copy.inputs[i] = local_.get_whole(node.inputs[i]);
    copy.inputs[3] = local_.builder().add(copy.inputs[3], local_.first_index(x));
    return local_.builder().append(std::move(copy));
  }

  const Graph& step_;
  const SplitAxis axis_;
  const int coordinate_;
  const Placements placements_;
  LocalGraph local_;
};

constexpr const char* kSamples = "data";

bool cuts_parameters(const MeshAxis& axis) { return axis.name != kSamples && axis.size > 1; }

void check_axes(const Mesh& mesh, const StateCutList& cuts) {
  for (const MeshAxis& axis : mesh.axes)
    if (axis.name == "pipeline" && axis.size > 1)
      throw UserError(
          fmt::format("parallel: the mesh {} cuts the axis 'pipeline', which is not implemented: set "
                      "pipeline: 1",
                      mesh.str()));
  for (const StateCut& cut : cuts)
    if (cut.axis == kSamples || mesh.axis_index(cut.axis) < 0)
      throw UserError(
          fmt::format("cut of '{}': parameters are cut along the axes of the mesh other than 'data', not "
                      "along '{}'; the mesh is {}",
                      cut.state, cut.axis, mesh.str()));
}

Graph cut_parameters(const Graph& graph, const MeshAxis& axis, int coordinate, const StateCutList& cuts) {
  const Graph opened = open_composites(graph);
  const SplitAxis along{axis.name, axis.size, -1};
  return Partitioner(opened, along, coordinate, place_parameters(opened, along, cuts_along(opened, axis, cuts))).run();
}

int data_coordinate(const Mesh& mesh, int rank) {
  const int axis = mesh.axis_index(kSamples);
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
  const Dims shares = split_evenly(samples, mesh.axis_size(kSamples));
  const int coordinate = data_coordinate(mesh, rank);
  SampleRange range;
  for (int r = 0; r < coordinate; ++r) range.first += shares[static_cast<std::size_t>(r)];
  range.count = shares[static_cast<std::size_t>(coordinate)];
  return range;
}

std::string coordinate_input(const std::string& axis) { return "coordinate/" + axis; }

Graph partition(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts) {
  check_internal(rank >= 0 && rank < mesh.ranks(), "partition: the rank is outside the mesh");
  check_axes(mesh, cuts);
  const std::vector<int> at = mesh.coordinates(rank);
  Graph local = step;
  for (std::size_t a = 0; a < mesh.axes.size(); ++a)
    if (cuts_parameters(mesh.axes[a])) local = cut_parameters(local, mesh.axes[a], at[a], cuts);
  if (const int size = mesh.axis_size(kSamples); size > 1) {
    const SplitAxis axis{kSamples, size, pass_samples(local)};
    local = Partitioner(local, axis, data_coordinate(mesh, rank), propagate(local, axis)).run();
  }
  local.verify();
  return local;
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
    local = Partitioner(opened, along, 0, std::move(placements)).run();
  }
  return result;
}

std::string role_key(const Graph& step, const Mesh& mesh, int rank, const StateCutList& cuts) {
  const std::int64_t samples = pass_samples(step);
  std::string key = fmt::format("data samples={} of {} over {}", rank_samples(samples, mesh, rank).count, samples,
                                mesh.axis_size(kSamples));
  if (std::none_of(mesh.axes.begin(), mesh.axes.end(), cuts_parameters)) return key;
  const std::vector<int> at = mesh.coordinates(rank);
  const auto placements = state_placements(step, mesh, cuts);
  for (std::size_t a = 0; a < mesh.axes.size(); ++a) {
    if (!cuts_parameters(mesh.axes[a])) continue;
    const bool even = std::all_of(placements.begin(), placements.end(),
                                  [&](const auto& state) { return state.second.axes[a].is_even(); });
    key += even ? fmt::format(", {} over {}", mesh.axes[a].name, mesh.axes[a].size)
                : fmt::format(", {} {} of {}", mesh.axes[a].name, at[a], mesh.axes[a].size);
  }
  return key;
}

}  // namespace weft
