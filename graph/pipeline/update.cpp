// Ranks first, by where the largest operand is; then levels, as late as readers allow.
#include "graph/pipeline/update.hpp"

#include <algorithm>
#include <memory>
#include <set>

#include "graph/ir/builder.hpp"
#include "graph/pipeline/stages.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr std::int64_t kCounterBytes = 64;    ///< states that every rank may hold and advance for itself
constexpr std::int64_t kScalarElements = 64;  ///< values that are brought rather than what is made of them
constexpr int kAgainDepth = 8;

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

bool is_light(const Node& node) {
  if (node.op == Op::random_bits || !node.bodies.empty()) return false;
  const OpClass c = class_of(node.op);
  return is_pointwise(node.op) || c == OpClass::source || c == OpClass::movement;
}

class UpdatePlacer {
 public:
  UpdatePlacer(const Graph& graph, int ranks, const std::map<std::string, int>& homes)
      : graph_(graph),
        ranks_(ranks),
        homes_(homes),
        light_(graph.nodes().size(), false),
        rank_(graph.nodes().size(), 0),
        level_(graph.nodes().size(), 0) {
    find_inputs();
    for (NodeId n = 0; n < nodes(); ++n) place(n);
    for (const GraphOutput& o : graph.outputs()) {
      if (o.role == OutputRole::fetch && o.name == "loss") guard_ = o.value;
      for (const int r : ranks_of(o)) last_ = std::max(last_, level_at(o.value, r));
    }
    check_internal(guard_ != kNone, "the pass that ends a step of a pipeline does not fetch 'loss'");
    if (ranks > 1) last_ = std::max(last_, 1);
    sink();
  }

  StagedUpdate result() const {
    StagedUpdate staged;
    staged.ranks = ranks_;
    staged.levels = last_ + 1;
    staged.guard = guard_;
    staged.rules.segments = staged.levels * ranks_;
    for (NodeId n = 0; n < nodes(); ++n)
      staged.rules.segment.push_back(light_[at(n)] ? kWhereRead : staged.segment(level_[at(n)], rank_[at(n)]));
    for (const GraphOutput& o : graph_.outputs()) {
      const std::vector<int> ranks = ranks_of(o);
      for (const int r : ranks) staged.outputs.push_back({o.name, o.role, o.value, staged.segment(last_, r)});
      if (o.role == OutputRole::state && !is_light_value(o.value)) staged.updated_by[o.name] = ranks.front();
    }
    return staged;
  }

  bool is_made_again(NodeId n, int segment) const { return again(n, segment % ranks_, kAgainDepth); }

 private:
  NodeId nodes() const { return static_cast<NodeId>(graph_.nodes().size()); }

  void find_inputs() {
    input_.resize(graph_.values().size(), nullptr);
    for (const GraphInput& i : graph_.inputs()) input_[at(i.value)] = &i;
  }

  std::int64_t bytes(ValueId v) const {
    return graph_.type(v).shape.elements() * static_cast<std::int64_t>(size_of(graph_.type(v).dtype));
  }

  bool is_light_value(ValueId v) const {
    if (const GraphInput* i = input_[at(v)])
      return i->role == InputRole::scalar || (i->role == InputRole::state && bytes(v) <= kCounterBytes &&
                                              is_integer(graph_.type(v).dtype) && !i->name.starts_with(kAccumulated));
    return light_[at(graph_.value(v).producer)];
  }

  /// A state's home: where passes read it or sum it up; else where the parameter is that it belongs to.
  int home(const std::string& state) const {
    if (const auto found = homes_.find(state); found != homes_.end()) return found->second;
    if (const auto sum = homes_.find(kAccumulated + state); sum != homes_.end()) return sum->second;
    if (state.starts_with("optimizer/")) {
      const auto slot = state.find('/', std::string("optimizer/").size());
      if (slot != std::string::npos) return home(state.substr(slot + 1));
    }
    return 0;
  }

  int rank_of_value(ValueId v) const {
    const GraphInput* i = input_[at(v)];
    return i != nullptr ? home(i->name) : rank_[at(graph_.value(v).producer)];
  }

  /// The level in which rank r can read a value.
  int level_at(ValueId v, int r) const {
    const NodeId n = graph_.value(v).producer;
    return n == kNone || light_[at(n)] ? 0 : level_[at(n)] + (rank_[at(n)] != r ? 1 : 0);
  }

  void place(NodeId n) {
    const Node& node = graph_.node(n);
    light_[at(n)] = is_light(node) &&
                    std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return is_light_value(v); });
    if (light_[at(n)]) return;
    std::int64_t largest = -1;
    for (const ValueId v : node.inputs)
      if (!is_light_value(v) && bytes(v) > largest) largest = bytes(v), rank_[at(n)] = rank_of_value(v);
    for (const ValueId v : node.inputs) level_[at(n)] = std::max(level_[at(n)], level_at(v, rank_[at(n)]));
  }

  std::vector<int> ranks_of(const GraphOutput& o) const {
    if (o.role == OutputRole::state && !is_light_value(o.value)) return {home(o.name)};
    std::vector<int> all;
    for (int r = 0; r < ranks_; ++r) all.push_back(r);
    return all;
  }

  /// Moves nodes to the last level that their readers allow: what is made of large values is not kept over levels.
  void sink() {
    std::vector<int> latest(graph_.nodes().size(), last_ + 1);  // none reads it yet
    const auto read = [&](ValueId v, int rank, int level) {
      const NodeId n = graph_.value(v).producer;
      if (n == kNone || light_[at(n)]) return;
      latest[at(n)] = std::min(latest[at(n)], level - (rank_[at(n)] != rank ? 1 : 0));
    };
    for (const GraphOutput& o : graph_.outputs())
      for (const int r : ranks_of(o)) read(o.value, r, o.value == guard_ ? std::max(last_, 1) : last_);
    if (const NodeId n = graph_.value(guard_).producer; n != kNone && ranks_ > 1)
      latest[at(n)] = std::min(latest[at(n)], last_ - 1);  // every rank looks at it before the last level
    for (NodeId n = nodes(); n-- > 0;) {
      if (light_[at(n)]) continue;
      if (latest[at(n)] <= last_) level_[at(n)] = latest[at(n)];
      for (const ValueId v : graph_.node(n).inputs) read(v, rank_[at(n)], level_[at(n)]);
    }
  }

  /// Elementwise results of states that the rank holds and of scalars.
  bool again(NodeId n, int rank, int depth) const {
    const Node& node = graph_.node(n);
    if (light_[at(n)]) return true;
    if (depth == 0 || !is_light(node) || graph_.value(guard_).producer == n) return false;
    if (graph_.type(node.outputs[0]).shape.elements() <= 1) return false;  // as well brought
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      if (const GraphInput* i = input_[at(v)]) return is_light_value(v) || home(i->name) == rank;
      const NodeId producer = graph_.value(v).producer;
      return graph_.type(v).shape.elements() <= kScalarElements || again(producer, rank, depth - 1);
    });
  }

  const Graph& graph_;
  int ranks_;
  std::map<std::string, int> homes_;
  std::vector<const GraphInput*> input_;  ///< by value
  std::vector<bool> light_;               ///< nodes made where they are read, from counters alone
  std::vector<int> rank_, level_;
  int last_ = 0;
  ValueId guard_ = kNone;
};

/// Which nodes outputs depend on, and collectives that follow from what was summed up.
std::vector<bool> ends_step(const Graph& graph, const std::vector<ValueId>& replaced) {
  const auto real = [&](ValueId v) { return replaced[at(v)]; };
  std::vector<bool> follows(graph.values().size(), false), wanted = follows, node(graph.nodes().size(), false);
  for (const GraphInput& i : graph.inputs()) follows[at(i.value)] = i.name.starts_with(kAccumulated);
  for (const Node& n : graph.nodes())
    for (const ValueId v : n.outputs)
      follows[at(v)] = std::any_of(n.inputs.begin(), n.inputs.end(), [&](ValueId x) { return follows[at(real(x))]; });
  for (const GraphOutput& o : graph.outputs()) wanted[at(real(o.value))] = true;
  for (auto n = static_cast<NodeId>(graph.nodes().size()); n-- > 0;) {
    const Node& made = graph.node(n);
    const bool is_wanted =
        std::any_of(made.outputs.begin(), made.outputs.end(), [&](ValueId v) { return wanted[at(v)]; });
    const bool exchanges =
        class_of(made.op) == OpClass::collective &&
        std::any_of(made.inputs.begin(), made.inputs.end(), [&](ValueId v) { return follows[at(real(v))]; });
    if (!is_wanted && !exchanges) continue;
    node[at(n)] = true;
    for (const ValueId v : made.inputs) wanted[at(real(v))] = true;
  }
  return node;
}

}  // namespace

Graph update_of_step(const Graph& last) {
  std::vector<ValueId> replaced(last.values().size());
  for (std::size_t v = 0; v < replaced.size(); ++v) replaced[v] = static_cast<ValueId>(v);
  const auto users = last.users();
  for (const GraphInput& i : last.inputs()) {
    if (i.role != InputRole::state || !i.name.starts_with(kAccumulated)) continue;
    for (const NodeId n : users[at(i.value)]) {
      check_internal(last.node(n).op == Op::add, "'" + i.name + "' is read other than by a sum");
      replaced[at(last.node(n).outputs[0])] = i.value;
    }
  }
  const std::vector<bool> kept = ends_step(last, replaced);
  GraphBuilder b;
  std::vector<ValueId> mapped(last.values().size(), kNone);
  for (const GraphInput& i : last.inputs()) mapped[at(i.value)] = b.input(i.name, i.role, last.type(i.value));
  for (NodeId n = 0; n < static_cast<NodeId>(kept.size()); ++n) {
    if (!kept[at(n)]) continue;
    Node copy = last.node(n);
    for (ValueId& v : copy.inputs) v = mapped[at(replaced[at(v)])];
    const std::vector<ValueId> made = b.append(std::move(copy));
    for (std::size_t i = 0; i < made.size(); ++i) mapped[at(last.node(n).outputs[i])] = made[i];
  }
  for (const GraphOutput& o : last.outputs()) b.output(o.name, o.role, mapped[at(replaced[at(o.value)])]);
  return std::move(b).take();
}

StagedUpdate place_update(const Graph& update, int ranks, const std::map<std::string, int>& homes) {
  const auto placer = std::make_shared<const UpdatePlacer>(update, ranks, homes);
  StagedUpdate staged = placer->result();
  staged.rules.made_again = [placer](NodeId n, int segment) { return placer->is_made_again(n, segment); };
  return staged;
}

}  // namespace weft
