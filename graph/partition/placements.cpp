// Propagation of placements to a fixed point.
#include "graph/partition/placements.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "graph/partition/node_placement.hpp"
#include "weft/error.hpp"

namespace weft {

AxisPlacement replicated() { return {}; }
AxisPlacement partial() { return {AxisPlacement::Kind::partial, 0, {}}; }
AxisPlacement split(int dimension, Dims extents) { return {AxisPlacement::Kind::split, dimension, std::move(extents)}; }
bool is_replicated(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::replicated; }
bool is_partial(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::partial; }
bool is_split(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::split; }

namespace {
bool is_share(const SplitAxis& axis, const std::string& state) {
  return is_accumulator(state) && axis.summed.count(state) == 0;
}
}  // namespace

bool SplitAxis::is_own(const Node& node) const {
  return !own.empty() && std::any_of(node.outputs.begin(), node.outputs.end(),
                                     [&](ValueId v) { return own[static_cast<std::size_t>(v)]; });
}

bool SplitAxis::is_sum_of_own(const Node& node) const {
  return !own.empty() && node.op == Op::all_reduce && node.attributes.text("kind") == "sum" &&
         node.attributes.texts("axes") == std::vector<std::string>{name};
}

bool is_accumulator(const std::string& state) { return state.starts_with("accumulate/"); }

bool holds_share(const SplitAxis& axis, const GraphOutput& output) {
  return output.role == OutputRole::state && is_share(axis, output.name);
}

bool groups_are_local(const AxisPlacement& x, std::int64_t groups) {
  const std::int64_t samples = std::accumulate(x.extents.begin(), x.extents.end(), std::int64_t{0});
  const std::int64_t group = samples / groups;
  return std::all_of(x.extents.begin(), x.extents.end(), [&](std::int64_t n) { return n % group == 0; });
}

namespace {

class Propagation {
 public:
  Propagation(const Graph& graph, const SplitAxis& axis, const StateCuts& states, const std::set<ValueId>& early)
      : graph_(graph), axis_(axis) {
    for (const ValueId v : early) early_[v] = replicated();
    settled_ = early_;
    for (const GraphInput& i : graph.inputs()) {
      if (i.role != InputRole::state) continue;
      if (axis.own.empty()) cuttable_.insert(i.value);
      if (const auto named = states.find(i.name); named != states.end()) states_[i.value] = named->second;
    }
  }

  Placements run() {
    settle_down();
    if (!axis_.carries_samples()) {  // what was demanded before all states had their places need not be demanded now
      settled_ = early_;
      settle_down();
    }
    return std::move(result_);
  }

 private:
  AxisPlacement& at(ValueId v) { return result_.values[static_cast<std::size_t>(v)]; }

  void settle_down() {
    do {
      changed_ = false;
      place_inputs();
      result_.operands.clear();
      result_.settled.clear();
      pulled_.clear();
      for (const Node& node : graph_.nodes()) place(node);
      for (const GraphOutput& o : graph_.outputs()) place_output(o);
    } while (changed_);
  }

  void place_inputs() {
    result_.values.assign(graph_.values().size(), replicated());
    for (const GraphInput& i : graph_.inputs()) {
      const Shape& shape = graph_.type(i.value).shape;
      if (!axis_.carries_samples()) {
        if (const auto state = states_.find(i.value); state != states_.end()) at(i.value) = state->second;
        continue;
      }
      if (i.role == InputRole::feed && shape.rank() > 0) at(i.value) = split(0, split_evenly(shape[0], axis_.size));
      if (i.role == InputRole::state && is_share(axis_, i.name)) at(i.value) = partial();
    }
  }

  void place(const Node& node) {
    std::vector<AxisPlacement> given;
    for (const ValueId v : node.inputs) given.push_back(at(v));
    if (axis_.is_sum_of_own(node)) return place_sum(node);
    NodePlacement answer = axis_.is_own(node) ? whole(node) : place_node(graph_, axis_, node, given);
    for (std::size_t i = 0; i < given.size(); ++i) bring(node.inputs[i], answer.operands[i]);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId v = node.outputs[i];
      at(v) = std::move(answer.results[i]);
      const auto settled = settled_.find(v);
      if (!is_partial(at(v)) || settled == settled_.end()) continue;
      at(v) = settled->second;
      result_.settled[v] = settled->second;
    }
    result_.operands.push_back(std::move(answer.operands));
  }

  static NodePlacement whole(const Node& node) {
    return {std::vector<AxisPlacement>(node.inputs.size(), replicated()),
            std::vector<AxisPlacement>(node.outputs.size(), replicated())};
  }

  /// Each rank gets all of it, or its part where that is what readers want.
  void place_sum(const Node& node) {
    const ValueId v = node.outputs[0];
    bring(node.inputs[0], replicated());
    const auto cut = sums_.find(v);
    at(v) = cut == sums_.end() ? replicated() : cut->second;
    result_.settled[v] = at(v);
    result_.operands.push_back({replicated()});
  }

  /// A state's new value lies as the state does; where the value is cut and the state could be, both are.
  void place_output(const GraphOutput& o) {
    if (axis_.carries_samples()) {
      if (!holds_share(axis_, o) && is_partial(at(o.value))) settle(o.value, replicated());
      return;
    }
    const ValueId state = o.role == OutputRole::state ? graph_.find_input(o.name) : kNone;
    if (state == kNone) return bring(o.value, replicated());
    if (is_split(at(o.value))) adopt(state, at(o.value));
    bring(o.value, at(state));
  }

  void bring(ValueId v, const AxisPlacement& wanted) {
    if (is_partial(at(v)) && !is_partial(wanted)) settle(v, wanted);
    if (!axis_.carries_samples() && is_replicated(at(v)) && is_split(wanted)) pull(v, wanted);
  }

  /// Readers that want different parts get them from the whole.
  void settle(ValueId v, const AxisPlacement& wanted) {
    check_internal(graph_.value(v).producer != kNone, "partition: an accumulator is read other than by a sum");
    const AxisPlacement& to = axis_.carries_samples() ? replicated() : wanted;
    const auto [found, fresh] = settled_.emplace(v, to);
    if (!fresh && (found->second == to || is_replicated(found->second))) return;
    found->second = fresh ? to : replicated();
    changed_ = true;
  }

  /// A whole value is wanted cut: so may be the states that it is made from. Each value is looked at once a round for
  /// each cut: many paths may lead to it.
  void pull(ValueId value, const AxisPlacement& cut) {
    std::vector<std::pair<ValueId, AxisPlacement>> left{{value, cut}};
    while (!left.empty()) {
      const auto [v, wanted] = std::move(left.back());
      left.pop_back();
      if (!is_split(wanted) || !is_replicated(at(v))) continue;
      if (!pulled_.insert({v, wanted.dimension, wanted.blocks, wanted.extents}).second) continue;
      const Node* node = graph_.producer(v);
      if (node == nullptr) {
        adopt(v, wanted);
        continue;
      }
      if (axis_.is_sum_of_own(*node)) {
        changed_ |= sums_.emplace(v, wanted).second;
        continue;
      }
      const auto operands = operands_of_cut(graph_, *node, wanted);
      if (!operands || result_.settled.count(v) != 0) continue;
      for (std::size_t i = node->inputs.size(); i-- > 0;) left.emplace_back(node->inputs[i], (*operands)[i]);
    }
  }

  void adopt(ValueId state, const AxisPlacement& wanted) {
    if (cuttable_.count(state) != 0) changed_ |= states_.emplace(state, wanted).second;
  }

  const Graph& graph_;
  const SplitAxis& axis_;
  Placements result_;
  std::set<ValueId> cuttable_;               ///< states
  std::map<ValueId, AxisPlacement> states_;  ///< named ones, and cut ones
  std::map<ValueId, AxisPlacement> sums_;    ///< sums of what is ranks' own, of which each rank gets a part
  std::map<ValueId, AxisPlacement> early_;
  std::map<ValueId, AxisPlacement> settled_;  ///< by some reader; not all are partial once their own operands are whole
  std::set<std::tuple<ValueId, int, std::int64_t, Dims>> pulled_;  ///< in this round
  bool changed_ = false;
};

}  // namespace

Placements propagate(const Graph& graph, const SplitAxis& axis, const StateCuts& states,
                     const std::set<ValueId>& early) {
  return Propagation(graph, axis, states, early).run();
}

}  // namespace weft
