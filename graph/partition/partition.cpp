// Partitioning: placements first, then this rank's nodes.
#include "graph/partition/partition.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/op_rules.hpp"
#include "graph/partition/local_graph.hpp"
#include "graph/partition/normalisation.hpp"
#include "graph/partition/placements.hpp"
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

class Partitioner {
 public:
  Partitioner(const Graph& step, const SplitAxis& axis, int coordinate)
      : step_(step),
        axis_(axis),
        coordinate_(coordinate),
        placements_(propagate(step, axis)),
        local_(step, placements_, axis, coordinate) {}

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
    for (const GraphOutput& o : step_.outputs()) {
      b.output(o.name, o.role, holds_share(o) ? local_.get(o.value, partial()) : local_.get_whole(o.value));
    }
    return std::move(b).take();
  }

 private:
  const AxisPlacement& placement(ValueId v) const { return placements_.values[static_cast<std::size_t>(v)]; }

  std::vector<ValueId> append(const Node& node, const std::vector<AxisPlacement>& wanted) {
    const bool normalises = (node.op == Op::batch_norm && node.inputs.size() == 3) || node.op == Op::batch_norm_grad;
    if (normalises && is_split(wanted[0])) return append_normalisation(node, wanted[0]);
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
    const auto types = [&](const std::vector<ValueId>& values) {
      std::vector<TensorType> result;
      for (const ValueId v : values) result.push_back(step_.type(v));
      return result;
    };
    return rule(node, types(node.inputs), types(node.outputs), wanted, coordinate_).local_attributes;
  }

  std::vector<ValueId> append_normalisation(const Node& node, const AxisPlacement& x) {
    const std::int64_t groups = node.attributes.integer("groups");
    const bool forward = node.op == Op::batch_norm;
    if (!groups_are_local(x, groups))
      return forward ? append_local_batch_norm(local_, node, x) : append_local_batch_norm_grad(local_, node, x);
    const std::int64_t samples = x.extents.at(static_cast<std::size_t>(coordinate_));
    if (samples == 0) return append_empty_normalisation(local_, node, local_.get(node.inputs[0], x));
    const std::int64_t group = step_.type(node.inputs[0]).shape[0] / groups;
    Node copy = node;
    copy.attributes.set("groups", samples / group);
    AxisPlacement statistics = x;
    for (std::int64_t& n : statistics.extents) n /= group;
    for (std::size_t i = 0; i < copy.inputs.size(); ++i) {
      const bool per_sample = i == 0 || (!forward && i == 1), per_group = !forward && i >= 3;
      copy.inputs[i] = local_.get(node.inputs[i], per_sample ? x : per_group ? statistics : replicated());
    }
    return local_.builder().append(std::move(copy));
  }

  std::vector<ValueId> append_dropout(const Node& node, const AxisPlacement& x) {
    Node copy = node;
    copy.inputs[0] = local_.get(node.inputs[0], x);
    for (const std::size_t i : {1, 2, 3}) copy.inputs[i] = local_.get_whole(node.inputs[i]);
    copy.inputs[3] = local_.builder().add(copy.inputs[3], local_.first_index(x.extents));
    return local_.builder().append(std::move(copy));
  }

  const Graph& step_;
  const SplitAxis axis_;
  const int coordinate_;
  const Placements placements_;
  LocalGraph local_;
};

void check_mesh(const Mesh& mesh, int rank) {
  for (const MeshAxis& axis : mesh.axes)
    if (axis.name != "data" && axis.size > 1)
      throw UserError(fmt::format("parallel: the mesh {} splits the axis '{}'; only 'data' can be split: set {}: 1",
                                  mesh.str(), axis.name, axis.name));
  check_internal(rank >= 0 && rank < mesh.ranks(), "partition: the rank is outside the mesh");
}

int data_coordinate(const Mesh& mesh, int rank) {
  const int axis = mesh.axis_index("data");
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
  const Dims shares = split_evenly(samples, mesh.axis_size("data"));
  const int coordinate = data_coordinate(mesh, rank);
  SampleRange range;
  for (int r = 0; r < coordinate; ++r) range.first += shares[static_cast<std::size_t>(r)];
  range.count = shares[static_cast<std::size_t>(coordinate)];
  return range;
}

Graph partition(const Graph& step, const Mesh& mesh, int rank) {
  check_mesh(mesh, rank);
  const std::int64_t samples = pass_samples(step);
  const int size = mesh.axis_size("data");
  if (size == 1) return step;
  Graph local = Partitioner(step, {"data", size, samples}, data_coordinate(mesh, rank)).run();
  local.verify();
  return local;
}

std::string role_key(const Graph& step, const Mesh& mesh, int rank) {
  const std::int64_t samples = pass_samples(step);
  return fmt::format("data samples={} of {} over {}", rank_samples(samples, mesh, rank).count, samples,
                     mesh.axis_size("data"));
}

}  // namespace weft
