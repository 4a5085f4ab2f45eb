// Which results are not worth keeping, and the copies of what makes them.
#include "graph/ir/passes/recompute.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "graph/ir/builder.hpp"

namespace weft {
namespace {

constexpr std::int64_t kSmallestBytes = 1 << 14;  ///< nothing below is worth the thought
constexpr std::size_t kMostNodes = 16;            ///< of one copy
constexpr int kNear = 4;                          ///< contractions; so far apart in the step still counts as together
constexpr int kForever = std::numeric_limits<int>::max();

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

bool is_reduction(const Node& node) { return class_of(node.op) == OpClass::reduction || node.op == Op::moments; }

/// What is made again for a value, and what that reads.
struct Cone {
  std::set<NodeId> nodes;
  std::vector<ValueId> large, small;  ///< operands
};

class Recomputation {
 public:
  explicit Recomputation(const Graph& graph)
      : graph_(graph),
        users_(graph.users()),
        last_use_(graph.values().size(), -1),
        depth_(graph.values().size(), 0),
        contractions_(graph.nodes().size(), 0),
        pinned_(graph.values().size(), 0),
        epilogue_(graph.values().size(), 0),
        cones_(graph.values().size()) {
    measure();
    for (const Node& node : graph.nodes())
      if (is_cheap(node) && node.outputs.size() == 1) decide(node.outputs[0]);
  }

  Graph run() {
    mapped_.assign(graph_.values().size(), kNone);
    for (const GraphInput& i : graph_.inputs())
      mapped_[at(i.value)] = builder_.input(i.name, i.role, graph_.type(i.value));
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      Node copy = graph_.nodes()[n];
      for (ValueId& v : copy.inputs)
        v = is_far(static_cast<NodeId>(n), v) ? copied(v, cones_[at(v)]->nodes, contractions_[n]) : mapped_[at(v)];
      const std::vector<ValueId> results = builder_.append(std::move(copy));
      for (std::size_t i = 0; i < results.size(); ++i) mapped_[at(graph_.nodes()[n].outputs[i])] = results[i];
    }
    for (const GraphOutput& o : graph_.outputs()) builder_.output(o.name, o.role, mapped_[at(o.value)]);
    return std::move(builder_).take();
  }

 private:
  bool is_cheap(const Node& node) const { return is_pointwise(node.op) && node.op != Op::stop_gradient; }
  bool is_free(const Node& node) const { return node.op == Op::broadcast || node.op == Op::iota; }
  std::int64_t bytes(ValueId v) const {
    const TensorType& type = graph_.type(v);
    return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
  }
  int contractions_at(int position) const { return contractions_[at(std::max(position, 0))]; }

  void measure() {
    for (const GraphInput& i : graph_.inputs()) last_use_[at(i.value)] = kForever;
    int contractions = 0;
    for (std::size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& node = graph_.nodes()[n];
      const bool contraction = class_of(node.op) == OpClass::contraction;
      contractions_[n] = contractions += contraction ? 1 : 0;
      const bool fuses = is_cheap(node) || is_reduction(node) || node.op == Op::broadcast;
      for (const ValueId v : node.inputs) {
        last_use_[at(v)] = std::max(last_use_[at(v)], static_cast<int>(n));
        if (!fuses) pinned_[at(v)] = 1;
      }
      if (ends_contraction(node)) epilogue_[at(node.outputs[0])] = 1;
      for (const ValueId v : node.outputs) depth_[at(v)] = depth_of(node) + (contraction ? 1 : 0);
      if (node.op == Op::constant) last_use_[at(node.outputs[0])] = kForever;
    }
    for (const GraphOutput& o : graph_.outputs()) pinned_[at(o.value)] = 1;
  }

  /// A bias, a residual or a ReLU that is the only reader of a contraction's result, or of another such.
  bool ends_contraction(const Node& node) const {
    if (node.op != Op::add && node.op != Op::relu) return false;
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      const Node* maker = graph_.producer(v);
      return maker != nullptr && users_[at(v)].size() == 1 &&
             (class_of(maker->op) == OpClass::contraction || epilogue_[at(v)] != 0);
    });
  }

  /// Contractions on the longest way to the node's operands.
  int depth_of(const Node& node) const {
    int depth = 0;
    for (const ValueId v : node.inputs) depth = std::max(depth, depth_[at(v)]);
    return depth;
  }

  bool lives_as_long_as(ValueId operand, ValueId v) const {
    const int last = last_use_[at(operand)];
    if (last == kForever) return true;
    return contractions_at(last_use_[at(v)]) - contractions_at(last) <= kNear;
  }

  bool has_far_users(ValueId v) const {
    return std::any_of(users_[at(v)].begin(), users_[at(v)].end(),
                       [&](NodeId u) { return depth_of(graph_.node(u)) > depth_[at(v)]; });
  }

  /// The elementwise nodes that make `v`, back to what is in memory; `deep` goes on through what contractions read.
  std::optional<Cone> cone_of(ValueId v, bool deep) const {
    Cone cone;
    std::set<ValueId> seen{v};
    std::vector<ValueId> stack{v};
    while (!stack.empty()) {
      const ValueId value = stack.back();
      stack.pop_back();
      const NodeId n = graph_.value(value).producer;
      const bool is_small = bytes(value) * 16 <= bytes(v);
      const bool inside = n != kNone && !is_small && (value == v || may_pass(value, deep));
      if (!inside) {
        (is_small ? cone.small : cone.large).push_back(value);
        continue;
      }
      cone.nodes.insert(n);
      if (cone.nodes.size() > kMostNodes) return std::nullopt;
      for (const ValueId operand : graph_.node(n).inputs)
        if (seen.insert(operand).second) stack.push_back(operand);
    }
    return cone;
  }

  /// Values that stay in memory for others end a cone.
  bool may_pass(ValueId value, bool deep) const {
    const Node& node = *graph_.producer(value);
    if (is_free(node)) return true;
    if (!is_cheap(node) || node.outputs.size() != 1 || epilogue_[at(value)] != 0) return false;
    if (pinned_[at(value)] != 0) return deep;
    return cones_[at(value)].has_value() || !has_far_users(value);
  }

  void decide(ValueId v) {
    if (pinned_[at(v)] != 0 || epilogue_[at(v)] != 0 || bytes(v) < kSmallestBytes || !has_far_users(v)) return;
    std::optional<Cone> best;
    for (const bool deep : {true, false}) {
      std::optional<Cone> cone = cone_of(v, deep);
      if (!cone || !pays(v, *cone, deep)) continue;
      best = std::move(cone);
      break;
    }
    if (!best) return;
    for (const auto* operands : {&best->large, &best->small})
      for (const ValueId operand : *operands)
        last_use_[at(operand)] = std::max(last_use_[at(operand)], last_use_[at(v)]);
    cones_[at(v)] = std::move(best);
  }

  /// Through what contractions read only where a single operand, kept for others already, is enough.
  bool pays(ValueId v, const Cone& cone, bool deep) const {
    std::int64_t extra = 0;
    for (const ValueId operand : cone.large)
      if (!lives_as_long_as(operand, v)) extra += bytes(operand);
    if (deep) return cone.large.size() <= 1 && extra == 0;
    return extra <= bytes(v) && cone.large.size() <= (extra == 0 ? 2u : 1u);
  }

  bool is_far(NodeId user, ValueId v) const {
    return cones_[at(v)].has_value() && depth_of(graph_.node(user)) > depth_[at(v)];
  }

  /// A copy of `v` and of what is `inside` above it, or the last ones made where that was not long ago.
  ValueId copied(ValueId v, const std::set<NodeId>& inside, int contractions) {
    const auto made = copies_.find(v);
    if (made != copies_.end() && contractions - made->second.contractions <= kNear) return made->second.value;
    const NodeId n = graph_.value(v).producer;
    if (n == kNone || inside.count(n) == 0) return mapped_[at(v)];
    Node copy = graph_.node(n);
    for (ValueId& operand : copy.inputs) operand = copied(operand, inside, contractions);
    const ValueId value = builder_.append(std::move(copy)).at(0);
    copies_[v] = {value, contractions};
    return value;
  }

  struct Copy {
    ValueId value;
    int contractions;
  };

  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<int> last_use_;               ///< per value: position in the graph, with what was decided so far
  std::vector<int> depth_;                  ///< per value: contractions on the longest way to it
  std::vector<int> contractions_;           ///< per node: so many up to and including it
  std::vector<char> pinned_;                ///< per value: in memory whatever is decided
  std::vector<char> epilogue_;              ///< per value: the kernel of a contraction can end with it
  std::vector<std::optional<Cone>> cones_;  ///< per value: how it is made again
  GraphBuilder builder_;
  std::vector<ValueId> mapped_;
  std::map<ValueId, Copy> copies_;
};

}  // namespace

Graph recompute_cheap(const Graph& graph) { return Recomputation(graph).run(); }

}  // namespace weft
