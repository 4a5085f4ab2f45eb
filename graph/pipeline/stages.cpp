// Placement of the nodes of a pass.
#include "graph/pipeline/stages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "graph/ir/passes/precision.hpp"
#include "graph/pipeline/pass_nodes.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr int kNowhere = kWhereRead;
constexpr int kMadeAgainDepth = 8;

class Placer {
 public:
  Placer(const Graph& pass, const StageCut& cut)
      : pass_(pass),
        nodes_(pass),
        stages_(static_cast<int>(cut.size()) + 1),
        stage_(forward_stages(pass, nodes_, cut)) {
    find_readers();
    for (NodeId n = 0; n < static_cast<NodeId>(pass.nodes().size()); ++n)
      if (!nodes_.is_forward(n) && !nodes_.is_cheap(n)) stage_[index(n)] = follow(pass.node(n).inputs);
    bring_sums_home();
  }

  StagedPass result() const {
    StagedPass staged;
    staged.stages = stages_;
    staged.rules.segments = segment_count(stages_);
    for (NodeId n = 0; n < static_cast<NodeId>(stage_.size()); ++n) {
      const int s = stage_[index(n)];
      staged.rules.segment.push_back(s == kNowhere          ? kWhereRead
                                     : nodes_.is_forward(n) ? forward_segment(s)
                                                            : backward_segment(s, stages_));
    }
    for (const auto& [state, readers] : state_readers_) staged.homes[state] = *readers.begin();
    for (const GraphOutput& o : pass_.outputs()) {
      check_internal(o.role == OutputRole::state && o.name.starts_with(kAccumulated),
                     "a pass that only accumulates makes '" + o.name + "'");
      const int s = stage_of_output(o);
      staged.homes[o.name] = s;
      staged.outputs.push_back({o.name, o.role, o.value, backward_segment(s, stages_)});
    }
    return staged;
  }

  /// What is cheap everywhere; movements, whose operand is brought instead; and in a backward segment elementwise
  /// results of forward values that its stage has.
  bool is_made_again(NodeId n, int segment) const {
    const Node& node = pass_.node(n);
    if (nodes_.is_cheap(n) || node.op == Op::reshape || node.op == Op::broadcast) return true;
    if (node.op == Op::cast && is_widening(pass_, node)) return true;
    return segment >= stages_ && !nodes_.is_forward(n) && follows_from_forward(n, segment, kMadeAgainDepth);
  }

 private:
  static std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }

  void find_readers() {
    available_.resize(pass_.values().size());
    for (NodeId n = 0; n < static_cast<NodeId>(stage_.size()); ++n) {
      if (!nodes_.is_forward(n) || stage_[index(n)] == kNowhere) continue;
      for (const ValueId v : pass_.node(n).outputs) available_[index(v)].insert(stage_[index(n)]);
      for (const ValueId v : pass_.node(n).inputs) available_[index(v)].insert(stage_[index(n)]);
      for (const std::string& s : nodes_.states_of(pass_.node(n))) state_readers_[s].insert(stage_[index(n)]);
    }
  }

  bool is_forward_value(ValueId v) const {
    const NodeId n = pass_.value(v).producer;
    return n != kNone && nodes_.is_forward(n) && !nodes_.is_cheap(n);
  }

  /// Of what a backward node reads: the least stage of backward values, then the nearest stage at or before it that has
  /// each forward value and state. Without backward values: the last that has them.
  int follow(const std::vector<ValueId>& operands) const {
    int stage = kNowhere;
    for (const ValueId v : operands) {
      const NodeId n = pass_.value(v).producer;
      if (n == kNone || is_forward_value(v) || stage_[index(n)] == kNowhere) continue;
      stage = stage == kNowhere ? stage_[index(n)] : std::min(stage, stage_[index(n)]);
    }
    const std::vector<const std::set<int>*> wanted = forward_operands(operands);
    if (stage == kNowhere) {
      for (const auto* have : wanted) stage = std::max(stage, *have->rbegin());
      return stage == kNowhere ? stages_ - 1 : stage;
    }
    for (const auto* have : wanted) {
      auto after = have->upper_bound(stage);
      if (after != have->begin()) stage = *--after;
    }
    return stage;
  }

  std::vector<const std::set<int>*> forward_operands(const std::vector<ValueId>& operands) const {
    std::vector<const std::set<int>*> result;
    for (const ValueId v : operands) {
      if (is_forward_value(v)) result.push_back(&available_[index(v)]);
      for (const std::string& s : nodes_.states_of(v))
        if (const auto readers = state_readers_.find(s); readers != state_readers_.end())
          result.push_back(&readers->second);
    }
    return result;
  }

  /// A parameter's gradient is summed up where the parameter is, if what it is made of is there too, or goes there
  /// anyway: that of a bias is made of what the next stage sends.
  void bring_sums_home() {
    const auto users = pass_.users();
    std::vector<int> wanted(stage_.size(), kNowhere);
    for (const GraphOutput& o : pass_.outputs()) {
      const auto readers = state_readers_.find(o.name.substr(std::string(kAccumulated).size()));
      const NodeId sum = pass_.value(o.value).producer;
      if (readers != state_readers_.end() && sum != kNone) wanted[index(sum)] = *readers->second.begin();
    }
    for (auto n = static_cast<NodeId>(stage_.size()); n-- > 0;) {
      if (stage_[index(n)] == kNowhere || nodes_.is_forward(n)) continue;
      for (const ValueId v : pass_.node(n).outputs)
        for (const NodeId reader : users[index(v)])
          wanted[index(n)] = reader == users[index(v)].front() || wanted[index(n)] == wanted[index(reader)]
                                 ? wanted[index(reader)]
                                 : kNowhere;
      if (wanted[index(n)] != kNowhere && wanted[index(n)] < stage_[index(n)] && may_move(n, wanted[index(n)], users))
        moved_.insert(n), stage_[index(n)] = wanted[index(n)];
      else
        wanted[index(n)] = kNowhere;
    }
  }

  bool may_move(NodeId n, int stage, const std::vector<std::vector<NodeId>>& users) const {
    const Node& node = pass_.node(n);
    if (class_of(node.op) == OpClass::collective) return false;
    for (const auto* have : forward_operands(node.inputs))
      if (have->count(stage) == 0) return false;
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      const NodeId from = pass_.value(v).producer;
      if (from == kNone || is_forward_value(v) || stage_[index(from)] == kNowhere) return true;
      if (pass_.type(v).shape.elements() <= pass_.type(node.outputs[0]).shape.elements()) return true;
      return std::any_of(users[index(v)].begin(), users[index(v)].end(), [&](NodeId reader) {
        return reader != n && moved_.count(reader) == 0 && stage_[index(reader)] != kNowhere &&
               stage_[index(reader)] <= stage;
      });
    });
  }

  int stage_of_output(const GraphOutput& o) const {
    const NodeId n = pass_.value(o.value).producer;
    return n != kNone && stage_[index(n)] != kNowhere ? stage_[index(n)] : follow({o.value});
  }

  bool follows_from_forward(NodeId n, int segment, int depth) const {
    const Node& node = pass_.node(n);
    if (nodes_.is_cheap(n)) return true;
    if (!is_pointwise(node.op) && node.op != Op::reshape && node.op != Op::broadcast) return false;
    const int stage = 2 * (stages_ - 1) - segment;
    return depth > 0 && std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
             const NodeId producer = pass_.value(v).producer;
             if (producer == kNone) return true;
             if (is_forward_value(v)) return available_[index(v)].count(stage) != 0;
             return follows_from_forward(producer, segment, depth - 1);
           });
  }

  const Graph& pass_;
  PassNodes nodes_;
  int stages_;
  std::vector<int> stage_;                ///< by node; kNowhere: cheap
  std::set<NodeId> moved_;                ///< home, to where their sum is
  std::vector<std::set<int>> available_;  ///< by value: stages that make or read it on the way forward
  std::map<std::string, std::set<int>> state_readers_;
};

}  // namespace

std::vector<int> forward_stages(const Graph& pass, const PassNodes& nodes, const StageCut& cut) {
  std::vector<int> stages(pass.nodes().size(), kWhereRead);
  std::size_t next = 0;
  for (NodeId n = 0; n < static_cast<NodeId>(stages.size()); ++n) {
    if (!nodes.is_forward(n) || nodes.is_cheap(n)) continue;
    const std::set<std::string> states = nodes.states_of(pass.node(n));
    while (next < cut.size() && states.count(cut[next]) != 0) ++next;
    stages[static_cast<std::size_t>(n)] = static_cast<int>(next);
  }
  if (next < cut.size())
    throw InternalError(
        fmt::format("pipeline: no stage begins with '{}': the pass does not read it, or not in order", cut[next]));
  return stages;
}

StagedPass place_in_stages(const Graph& pass, const StageCut& cut) {
  const auto placer = std::make_shared<const Placer>(pass, cut);
  StagedPass staged = placer->result();
  staged.rules.made_again = [placer](NodeId n, int segment) { return placer->is_made_again(n, segment); };
  return staged;
}

}  // namespace weft
