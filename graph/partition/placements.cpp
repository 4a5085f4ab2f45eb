// Propagation of placements to a fixed point.
#include "graph/partition/placements.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "graph/ir/op_rules.hpp"
#include "weft/error.hpp"

namespace weft {

AxisPlacement replicated() { return {}; }
AxisPlacement partial() { return {AxisPlacement::Kind::partial, 0, {}}; }
AxisPlacement split(int dimension, Dims extents) { return {AxisPlacement::Kind::split, dimension, std::move(extents)}; }
bool is_replicated(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::replicated; }
bool is_partial(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::partial; }
bool is_split(const AxisPlacement& p) { return p.kind == AxisPlacement::Kind::split; }

namespace {
constexpr const char* kAccumulators = "accumulate/";
}  // namespace

bool holds_share(const GraphOutput& output) {
  return output.role == OutputRole::state && output.name.starts_with(kAccumulators);
}

bool groups_are_local(const AxisPlacement& x, std::int64_t groups) {
  const std::int64_t samples = std::accumulate(x.extents.begin(), x.extents.end(), std::int64_t{0});
  const std::int64_t group = samples / groups;
  return std::all_of(x.extents.begin(), x.extents.end(), [&](std::int64_t n) { return n % group == 0; });
}

namespace {

struct Answer {
  std::vector<AxisPlacement> operands, results;
};

AxisPlacement group_split(const AxisPlacement& x, std::int64_t group) {
  Dims extents = x.extents;
  for (std::int64_t& n : extents) n /= group;
  return split(0, std::move(extents));
}

class Propagation {
 public:
  Propagation(const Graph& graph, const SplitAxis& axis) : graph_(graph), axis_(axis) {}

  Placements run() {
    do {
      changed_ = false;
      place_inputs();
      result_.operands.clear();
      result_.reduced.clear();
      for (const Node& node : graph_.nodes()) place(node);
      place_outputs();
    } while (changed_);
    return std::move(result_);
  }

 private:
  AxisPlacement& at(ValueId v) { return result_.values[static_cast<std::size_t>(v)]; }

  void place_inputs() {
    result_.values.assign(graph_.values().size(), replicated());
    for (const GraphInput& i : graph_.inputs()) {
      const Shape& shape = graph_.type(i.value).shape;
      if (i.role == InputRole::feed && shape.rank() > 0) at(i.value) = split(0, split_evenly(shape[0], axis_.size));
      if (is_accumulator(i)) at(i.value) = partial();
    }
  }

  bool is_accumulator(const GraphInput& i) const {
    return i.role == InputRole::state && i.name.starts_with(kAccumulators);
  }

  void place(const Node& node) {
    std::vector<AxisPlacement> given;
    for (const ValueId v : node.inputs) given.push_back(at(v));
    Answer answer = ask(node, given);
    for (std::size_t i = 0; i < given.size(); ++i)
      if (is_partial(given[i]) && !is_partial(answer.operands[i])) demand_whole(node.inputs[i]);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      const ValueId v = node.outputs[i];
      at(v) = std::move(answer.results[i]);
      if (!is_partial(at(v)) || wanted_whole_.count(v) == 0) continue;
      at(v) = replicated();
      result_.reduced.insert(v);
    }
    result_.operands.push_back(std::move(answer.operands));
  }

  void place_outputs() {
    for (const GraphOutput& o : graph_.outputs()) {
      if (!holds_share(o) && is_partial(at(o.value))) demand_whole(o.value);
    }
  }

  void demand_whole(ValueId v) {
    check_internal(graph_.value(v).producer != kNone, "partition: an accumulator is read other than by a sum");
    changed_ |= wanted_whole_.insert(v).second;
  }

  /// An accumulator plus something whole: one rank adds it. Whether a pass's sum is whole may differ between passes
  /// of one step (groups that span ranks in one of them), what the state holds may not.
  bool adds_to_accumulator(const Node& node, const std::vector<AxisPlacement>& given) const {
    if (node.op != Op::add) return false;
    for (const std::size_t i : {0, 1})
      if (is_partial(given[i]) && is_replicated(given[1 - i]) && graph_.value(node.inputs[i]).producer == kNone)
        return true;
    return false;
  }

  Answer ask(const Node& node, const std::vector<AxisPlacement>& given) const {
    switch (node.op) {
      case Op::batch_norm: return batch_norm(node, given);
      case Op::batch_norm_grad: return batch_norm_grad(node, given);
      case Op::moments: return moments(node, given);
      case Op::dropout: return dropout(node, given);
      default: break;
    }
    if (adds_to_accumulator(node, given)) return {{partial(), partial()}, {partial()}};
    const bool whole = std::all_of(given.begin(), given.end(), is_replicated);
    const PlacementRule rule = rules_of(node.op).placement;
    if (whole || rule == nullptr) return all_whole(node);
    PlacementAnswer answer = rule(node, types(node.inputs), types(node.outputs), given, 0);
    check_internal(answer.operands.size() == node.inputs.size() && answer.results.size() == node.outputs.size(),
                   fmt::format("placement rule of {} answers for another number of values", name_of(node.op)));
    return {std::move(answer.operands), std::move(answer.results)};
  }

  std::vector<TensorType> types(const std::vector<ValueId>& values) const {
    std::vector<TensorType> result;
    for (const ValueId v : values) result.push_back(graph_.type(v));
    return result;
  }

  Answer all_whole(const Node& node) const {
    return {std::vector<AxisPlacement>(node.inputs.size(), replicated()),
            std::vector<AxisPlacement>(node.outputs.size(), replicated())};
  }

  Answer batch_norm(const Node& node, const std::vector<AxisPlacement>& given) const {
    Answer answer = all_whole(node);
    if (!is_split(given[0]) || given[0].dimension != 0) return answer;
    answer.operands[0] = answer.results[0] = given[0];
    if (node.inputs.size() == 5) return answer;
    const std::int64_t groups = node.attributes.integer("groups");
    if (groups_are_local(given[0], groups))
      answer.results[1] = answer.results[2] = group_split(given[0], graph_.type(node.inputs[0]).shape[0] / groups);
    return answer;
  }

  /// Operands dy, x, scale, mean, variance; results dx, dscale, dbias.
  Answer batch_norm_grad(const Node& node, const std::vector<AxisPlacement>& given) const {
    Answer answer = all_whole(node);
    const AxisPlacement& x = is_split(given[1]) ? given[1] : given[0];
    if (!is_split(x) || x.dimension != 0) return answer;
    answer.operands[0] = answer.operands[1] = answer.results[0] = x;
    const std::int64_t groups = node.attributes.integer("groups");
    if (!groups_are_local(x, groups)) return answer;
    answer.operands[3] = answer.operands[4] = group_split(x, graph_.type(node.inputs[1]).shape[0] / groups);
    answer.results[1] = answer.results[2] = partial();
    return answer;
  }

  Answer moments(const Node& node, const std::vector<AxisPlacement>& given) const {
    Answer answer = all_whole(node);
    if (!is_split(given[0])) return answer;
    answer.operands[0] = given[0];
    const Dims& dims = node.attributes.integers("dims");
    if (std::find(dims.begin(), dims.end(), given[0].dimension) != dims.end()) return answer;
    const auto removed = std::count_if(dims.begin(), dims.end(), [&](auto d) { return d < given[0].dimension; });
    answer.results[0] = answer.results[1] = split(given[0].dimension - static_cast<int>(removed), given[0].extents);
    return answer;
  }

  Answer dropout(const Node& node, const std::vector<AxisPlacement>& given) const {
    Answer answer = all_whole(node);
    if (!is_split(given[0])) return answer;
    if (node.inputs.size() > 1 && node.attributes.integer("sample_dim") != given[0].dimension)
      throw UserError(fmt::format(
          "dropout node '{}': the samples lie along dimension {} of {}, but its random numbers "
          "follow dimension {}; such a model runs on one rank only",
          node.name, given[0].dimension, graph_.type(node.inputs[0]).str(), node.attributes.integer("sample_dim")));
    answer.operands[0] = answer.results[0] = given[0];
    return answer;
  }

  const Graph& graph_;
  const SplitAxis& axis_;
  Placements result_;
  std::set<ValueId> wanted_whole_;  ///< by some reader; not all are partial once their own operands are whole
  bool changed_ = false;
};

}  // namespace

Placements propagate(const Graph& graph, const SplitAxis& axis) { return Propagation(graph, axis).run(); }

}  // namespace weft
