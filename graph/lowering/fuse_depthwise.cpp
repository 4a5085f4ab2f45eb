// Groups around depthwise convolutions.
#include "graph/lowering/fuse_depthwise.hpp"

#include <algorithm>
#include <array>

#include "graph/lowering/body.hpp"

namespace weft::lowering {
namespace {

// What is computed where it is read, at most: beyond these it is made once and read.
constexpr std::size_t kMostComputed = 48;
constexpr std::size_t kMostRead = 4;
// Nodes behind a gradient among which sums are looked for.
constexpr std::size_t kMostBehind = 64;

class DepthwiseFusion {
 public:
  DepthwiseFusion(Groups& groups, const KernelOracle& oracle) : groups_(groups), oracle_(oracle) {}

  void run() {
    for (const Op op : {Op::conv_general, Op::conv_data_grad, Op::conv_filter_grad})
      for (NodeId n = 0; n < groups_.node_count(); ++n)
        if (node(n).op == op && groups_.free(n) && is_depthwise(n)) op == Op::conv_general ? forward(n) : backward(n);
  }

 private:
  const Node& node(NodeId n) const { return groups_.node(n); }
  const Shape& shape(ValueId v) const { return groups_.shape(v); }
  bool is_computed(NodeId n) const {
    return is_pointwise(node(n).op) && node(n).op != Op::stop_gradient && groups_.free(n);
  }
  bool is_depthwise(NodeId n) const { return is_depthwise_convolution(groups_.graph(), n); }

  bool is_channel_sum(NodeId n, Op op) const {
    return node(n).op == op && groups_.free(n) && node(n).attributes.integers("dims") == Dims{0, 2, 3};
  }

  // --- what makes a value -------------------------------------------------------------------------------------------

  struct Cone {
    std::set<NodeId> nodes;
    std::size_t computed = 0;  ///< nodes that are not merely copied
    std::set<ValueId> read;    ///< of the value's own shape
    bool small() const { return computed <= kMostComputed && read.size() <= kMostRead; }
  };

  /// Read by something that takes it from memory.
  bool is_materialised(ValueId v) const {
    if (groups_.is_output(v)) return true;
    return std::any_of(groups_.users(v).begin(), groups_.users(v).end(), [&](NodeId u) {
      return !groups_.inlineable(u) && !is_computed(u) && node(u).op != Op::reduce_sum && node(u).op != Op::moments;
    });
  }

  /// The pointwise nodes that make `v`, as far as they need not be in memory.
  Cone cone_of(ValueId v) const {
    Cone cone;
    std::vector<ValueId> stack{v};
    std::set<ValueId> seen;
    while (!stack.empty() && cone.small()) {
      const ValueId value = stack.back();
      stack.pop_back();
      if (!seen.insert(value).second || shape(value) != shape(v)) continue;
      const NodeId n = groups_.producer(value);
      const bool inside =
          n != kNone && (groups_.inlineable(n) || (is_computed(n) && (value == v || !is_materialised(value))));
      if (!inside) {
        cone.read.insert(value);
        continue;
      }
      cone.nodes.insert(n);
      if (!groups_.inlineable(n)) ++cone.computed;
      if (!groups_.inlineable(n) || groups_.is_widening(n))
        stack.insert(stack.end(), node(n).inputs.begin(), node(n).inputs.end());
    }
    return cone.small() ? cone : Cone{};
  }

  /// Of a convolution's operand: none where it has to be in memory for others.
  Cone operand_cone(ValueId v) const {
    if (groups_.is_output(v)) return {};
    const auto& users = groups_.users(v);
    if (!std::all_of(users.begin(), users.end(), [&](NodeId u) { return is_depthwise(u); })) return {};
    const Cone cone = cone_of(v);
    return cone.computed > 0 ? cone : Cone{};
  }

  // --- groups -------------------------------------------------------------------------------------------------------

  bool accepted(const std::set<NodeId>& nodes, const std::set<NodeId>& owned) const {
    std::vector<ValueId> outputs;
    for (const NodeId n : owned) outputs.insert(outputs.end(), node(n).outputs.begin(), node(n).outputs.end());
    return oracle_.ask(make_unit(groups_.graph(), nodes, outputs, "").body).offer.has_value();
  }

  /// What joins a group, with copies of what makes it.
  struct Part {
    NodeId node = kNone;
    std::set<NodeId> copied;
  };

  /// Adds `part` to group `id` where that makes no cycle and the device takes it.
  void try_to_join(int id, const Part& part) {
    std::set<NodeId> added = part.copied;
    added.insert(part.node);
    if (groups_.makes_cycle(id, added, {part.node})) return;
    std::set<NodeId> nodes = groups_[id].nodes, owned = groups_[id].owned;
    nodes.insert(added.begin(), added.end());
    owned.insert(part.node);
    if (accepted(nodes, owned)) groups_.join(id, added, {part.node});
  }

  void forward(NodeId n) {
    const Cone cone = operand_cone(node(n).inputs[0]);
    if (cone.nodes.empty()) return;
    std::set<NodeId> nodes = cone.nodes;
    nodes.insert(n);
    if (!accepted(nodes, {n})) return;
    const int id = groups_.add({nodes, {n}, {}, {}, UnitKind::kernel});
    const ValueId last = take_chain_behind(id, node(n).outputs[0]);
    for (const NodeId user : groups_.users(last)) {
      if (is_channel_sum(user, Op::moments)) try_to_join(id, {user, {}});
      if (!groups_.is_widening(user)) continue;
      for (const NodeId behind : groups_.users(node(user).outputs[0]))
        if (is_channel_sum(behind, Op::moments)) try_to_join(id, {behind, {user}});
    }
  }

  /// What pointwise operators make of `v` one after the other, each the only reader of the one before; the
  /// last of them.
  ValueId take_chain_behind(int id, ValueId v) {
    while (groups_.users(v).size() == 1 && !groups_.is_output(v)) {
      const NodeId user = groups_.users(v)[0];
      const ValueId result = node(user).outputs[0];
      if (!is_computed(user) || shape(result) != shape(v)) return v;
      Part part{user, {}};
      for (const ValueId operand : node(user).inputs)
        if (const NodeId maker = groups_.producer(operand); maker != kNone && groups_.inlineable(maker))
          part.copied.insert(maker);
      try_to_join(id, part);
      if (groups_.free(user)) return v;
      v = result;
    }
    return v;
  }

  /// The gradient to the filter of the convolution whose gradient to its input is `n`.
  NodeId partner_of(NodeId n) const {
    for (const NodeId u : groups_.users(node(n).inputs[0])) {
      if (node(u).op != Op::conv_filter_grad || !groups_.free(u) || !is_depthwise(u)) continue;
      const bool alike = std::all_of(kGeometry.begin(), kGeometry.end(), [&](const char* name) {
        return node(u).attributes.integers(name) == node(n).attributes.integers(name);
      });
      if (alike && node(u).inputs[1] == node(n).inputs[0] && shape(node(u).inputs[0]) == shape(node(n).outputs[0]))
        return u;
    }
    return kNone;
  }

  void backward(NodeId n) {
    const bool to_filter = node(n).op == Op::conv_filter_grad;
    const NodeId partner = to_filter ? kNone : partner_of(n);
    const Cone before = operand_cone(node(n).inputs[to_filter ? 1 : 0]);
    const NodeId filter_gradient = to_filter ? n : partner;
    const Cone operand = filter_gradient == kNone ? Cone{} : operand_cone(node(filter_gradient).inputs[0]);
    const std::vector<Part> sums = to_filter ? std::vector<Part>{} : sums_behind(node(n).outputs[0]);
    if (before.nodes.empty() && operand.nodes.empty() && sums.empty()) return;
    std::set<NodeId> nodes = before.nodes;
    nodes.insert(n);
    if (to_filter) nodes.insert(operand.nodes.begin(), operand.nodes.end());
    if (!accepted(nodes, {n})) return;
    const int id = groups_.add({nodes, {n}, {}, {}, UnitKind::kernel});
    if (partner != kNone) try_to_join(id, {partner, operand.nodes});
    for (const Part& sum : sums) try_to_join(id, sum);
  }

  /// Sums of what pointwise operators make of `v`.
  std::vector<Part> sums_behind(ValueId v) const {
    std::vector<Part> result;
    std::vector<ValueId> stack{v};
    std::set<NodeId> seen;
    while (!stack.empty() && seen.size() < kMostBehind) {
      const ValueId value = stack.back();
      stack.pop_back();
      for (const NodeId u : groups_.users(value)) {
        if (!seen.insert(u).second) continue;
        if (is_computed(u) && shape(node(u).outputs[0]) == shape(v)) stack.push_back(node(u).outputs[0]);
        if (!is_channel_sum(u, Op::reduce_sum)) continue;
        const Cone cone = cone_of(node(u).inputs[0]);
        if (!cone.read.empty() && (cone.read.count(v) || node(u).inputs[0] == v)) result.push_back({u, cone.nodes});
      }
    }
    std::sort(result.begin(), result.end(), [](const Part& a, const Part& b) { return a.node < b.node; });
    return result;
  }

  static constexpr std::array<const char*, 4> kGeometry{"strides", "pads_low", "pads_high", "dilations"};

  Groups& groups_;
  const KernelOracle& oracle_;
};

}  // namespace

bool is_depthwise_convolution(const Graph& graph, NodeId n) {
  const Node& node = graph.node(n);
  if (node.op != Op::conv_general && node.op != Op::conv_data_grad && node.op != Op::conv_filter_grad) return false;
  const Shape& filter = graph.type(node.op == Op::conv_filter_grad ? node.outputs[0] : node.inputs[1]).shape;
  const std::int64_t groups = node.attributes.integer("groups");
  return groups > 1 && filter.rank() == 4 && filter[0] == groups && filter[1] == 1 &&
         graph.type(node.inputs[0]).shape[1] == groups;
}

void group_depthwise(Groups& groups, const KernelOracle& oracle) { DepthwiseFusion(groups, oracle).run(); }

}  // namespace weft::lowering
