// Each node in turn: its operands as its rule wants them, then its local form.
#include "graph/partition/local_step.hpp"

#include <algorithm>

#include "graph/ir/op_rules.hpp"
#include "graph/partition/cut_axis.hpp"
#include "graph/partition/local_graph.hpp"
#include "graph/partition/node_placement.hpp"
#include "graph/partition/normalisation.hpp"

namespace weft {
namespace {

/// batch_norm and its gradient where this rank has no samples at all: nothing to normalise, no collective either,
/// because all groups are inside other ranks. What other ranks read of states is read here too, should it be in parts.
std::vector<ValueId> append_empty_normalisation(LocalGraph& local, const Node& node) {
  GraphBuilder& b = local.builder();
  const bool forward = node.op == Op::batch_norm;
  ValueId result = node.inputs[0];
  for (const ValueId per_channel : forward ? std::vector{node.inputs[1], node.inputs[2]} : std::vector{node.inputs[2]})
    result = b.add(result, b.broadcast_in(per_channel, b.shape(result), {node.attributes.integer("axis")}));
  const std::int64_t channels = b.shape(node.inputs[forward ? 1 : 2])[0];
  const ValueId zeros = b.full(b.dtype(result), forward ? Shape{0, channels} : Shape{channels}, 0);
  return {result, zeros, zeros};
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
    if (axis_.carries_samples()) return holds_share(axis_, o) ? partial() : replicated();
    const ValueId state = o.role == OutputRole::state ? step_.find_input(o.name) : kNone;
    return state == kNone ? replicated() : placement(state);
  }

  std::vector<ValueId> append(const Node& node, const std::vector<AxisPlacement>& wanted) {
    if (axis_.is_sum_of_own(node)) return {local_.get_whole(node.inputs[0])};  // `define` sums
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
    if (samples == 0) return append_empty_normalisation(local_, copy);
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

}  // namespace

Graph local_step(const Graph& step, const SplitAxis& axis, int coordinate, Placements placements) {
  return Partitioner(step, axis, coordinate, std::move(placements)).run();
}

}  // namespace weft
