// The candidates and the choice, and the copies.
#include "graph/lowering/rematerialise.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/precision.hpp"
#include "graph/lowering/body.hpp"
#include "graph/lowering/lives.hpp"

namespace weft::lowering {
namespace {

constexpr std::size_t kMostNodes = 40;  ///< of one copy
constexpr int kNear = 4;                ///< contractions; so far apart in the step still counts as together
constexpr double kNarrowRate = 2;  ///< of products of 16-bit numbers; estimates count operations of all types alike
constexpr int kForever = Lives::kForever;

/// How a value would be made again.
struct Copy {
  ValueId value = kNone;
  std::set<NodeId> nodes;
  std::set<ValueId> large;  ///< operands
  double seconds = 0;
};

class Choice {
 public:
  Choice(const Graph& graph, const KernelOracle& oracle, const RematerialisationOptions& options)
      : graph_(graph), oracle_(oracle), options_(options), lives_(graph), users_(graph.users()) {}

  const Lives& lives() const { return lives_; }

  /// The copies to make, by value.
  std::map<ValueId, Copy> best() {
    std::vector<Copy> candidates;
    for (const Node& node : graph_.nodes())
      if (node.outputs.size() == 1 && is_candidate(node))
        if (std::optional<Copy> copy = copy_of(node.outputs[0])) candidates.push_back(std::move(*copy));
    if (candidates.empty()) return {};
    const auto worth = [&](const Copy& c) { return static_cast<double>(bytes(c.value)) / c.seconds; };
    std::stable_sort(candidates.begin(), candidates.end(),
                     [&](const Copy& a, const Copy& b) { return worth(a) > worth(b); });
    double left = options_.share * contraction_seconds();
    std::map<ValueId, Copy> chosen;
    std::set<ValueId> needed;
    for (Copy& c : candidates) {
      if (c.seconds > left || needed.count(c.value) != 0 || reads_any(c, chosen)) continue;
      left -= c.seconds;
      for (const ValueId v : c.large) needed.insert(lives_.root(v));
      chosen.emplace(c.value, std::move(c));
    }
    return chosen;
  }

 private:
  std::int64_t bytes(ValueId v) const {
    const TensorType& type = graph_.type(v);
    return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
  }

  bool reads_any(const Copy& copy, const std::map<ValueId, Copy>& chosen) const {
    return std::any_of(copy.large.begin(), copy.large.end(),
                       [&](ValueId v) { return chosen.count(lives_.root(v)) != 0; });
  }

  /// Elementwise, large, and waiting, untouched by a good part of the step, for readers that are near each other.
  bool is_candidate(const Node& node) const {
    const ValueId v = node.outputs[0];
    if (!is_pointwise(node.op) || lives_.is_view(node) || bytes(v) < options_.smallest_bytes || !lives_.waits(v))
      return false;
    const std::vector<int>& reads = lives_.reads(v);
    if (reads.back() == kForever || is_joined(v)) return false;
    const int late = lives_.first_late_read(v);
    int early = lives_.made(v);
    for (const int read : reads)
      if (read <= lives_.peak()) early = read;
    return lives_.contractions(late) - lives_.contractions(early) > kNear &&
           lives_.contractions(reads.back()) - lives_.contractions(late) <= 2 * kNear;
  }

  /// Part of a concatenation, which keeps it in memory itself.
  bool is_joined(ValueId v) const {
    return std::any_of(users_[index(v)].begin(), users_[index(v)].end(), [&](NodeId u) {
      const Node& user = graph_.node(u);
      return user.op == Op::concat || (lives_.is_view(user) && is_joined(user.outputs[0]));
    });
  }

  std::optional<Copy> copy_of(ValueId v) const {
    Copy copy{v, {}, {}, 0};
    std::vector<ValueId> stack{v};
    std::set<ValueId> seen{v};
    while (!stack.empty()) {
      const ValueId value = stack.back();
      stack.pop_back();
      if (value != v && bytes(value) * 16 <= bytes(v)) continue;
      const Node* maker = graph_.producer(value);
      const bool free =
          maker != nullptr && (maker->op == Op::broadcast || maker->op == Op::iota || is_widening(graph_, *maker));
      if (value != v && !free && stays(value, v)) {
        copy.large.insert(value);
        continue;
      }
      if (!free && (maker == nullptr || !is_pointwise(maker->op) || lives_.is_view(*maker))) return std::nullopt;
      copy.nodes.insert(graph_.value(value).producer);
      if (copy.nodes.size() > kMostNodes) return std::nullopt;
      for (const ValueId operand : maker->inputs)
        if (seen.insert(operand).second) stack.push_back(operand);
    }
    const KernelAnswer answer = oracle_.ask(make_unit(graph_, copy.nodes, {v}, "").body);
    if (!answer.offer || answer.offer->seconds <= 0) return std::nullopt;
    copy.seconds = answer.offer->seconds;
    return copy;
  }

  /// In memory over the peak, whatever is chosen for others, and until about when `v` is needed again.
  bool stays(ValueId operand, ValueId v) const {
    if (graph_.value(lives_.root(operand)).producer == kNone) return true;
    if (!lives_.waits(operand)) return false;
    const int last = lives_.reads(operand).back();
    return last == kForever || lives_.contractions(lives_.first_late_read(v)) - lives_.contractions(last) <= kNear;
  }

  double contraction_seconds() const {
    double seconds = 0;
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      if (class_of(graph_.node(n).op) != OpClass::contraction) continue;
      const KernelAnswer answer = oracle_.ask(make_unit(graph_, {n}, graph_.node(n).outputs, "").body);
      if (answer.offer)
        seconds += answer.offer->seconds / (size_of(graph_.type(graph_.node(n).inputs[0]).dtype) < 4 ? kNarrowRate : 1);
    }
    return seconds;
  }

  const Graph& graph_;
  const KernelOracle& oracle_;
  const RematerialisationOptions& options_;
  Lives lives_;
  std::vector<std::vector<NodeId>> users_;
};

/// The graph again, with the copies right before their first readers.
class Rewriting {
 public:
  Rewriting(const Graph& graph, const Lives& lives, const std::map<ValueId, Copy>& copies)
      : graph_(graph),
        lives_(lives),
        copies_(copies),
        early_(graph.values().size(), kNone),
        late_(graph.values().size(), kNone) {}

  Rematerialised run() {
    for (const GraphInput& i : graph_.inputs())
      early_[index(i.value)] = builder_.input(i.name, i.role, graph_.type(i.value));
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const Node& node = graph_.node(n);
      if (is_copied_view(node)) continue;  // made where it is read
      const bool late = n > lives_.peak();
      std::vector<ValueId> operands;
      for (const ValueId v : node.inputs) operands.push_back(late ? again(v) : once(v));
      append(node, std::move(operands), early_);
    }
    for (const GraphOutput& o : graph_.outputs()) builder_.output(o.name, o.role, once(o.value));
    result_.graph = std::move(builder_).take();
    return std::move(result_);
  }

 private:
  bool is_copied_view(const Node& node) const {
    return lives_.is_view(node) && copies_.count(lives_.root(node.outputs[0])) != 0;
  }

  void append(Node node, std::vector<ValueId> operands, std::vector<ValueId>& mapped) {
    const std::vector<ValueId> results = node.outputs;
    node.inputs = std::move(operands);
    const std::vector<ValueId> made = builder_.append(std::move(node));
    for (std::size_t i = 0; i < made.size(); ++i) mapped[index(results[i])] = made[i];
  }

  /// As it was made the first time.
  ValueId once(ValueId v) {
    if (early_[index(v)] == kNone) {
      const Node& view = *graph_.producer(v);
      append(view, {once(view.inputs[0])}, early_);
    }
    return early_[index(v)];
  }

  /// As a reader behind the peak gets it.
  ValueId again(ValueId v) {
    const auto copy = copies_.find(lives_.root(v));
    if (copy == copies_.end()) return once(v);
    if (late_[index(v)] != kNone) return late_[index(v)];
    if (v == copy->first)
      make(copy->second);
    else
      append(*graph_.producer(v), {again(graph_.producer(v)->inputs[0])}, late_);
    return late_[index(v)];
  }

  void make(const Copy& copy) {
    std::map<ValueId, ValueId> made;
    std::vector<NodeId> kernel;
    for (const NodeId n : copy.nodes) {
      Node node = graph_.node(n);
      const ValueId result = node.outputs[0];
      for (ValueId& v : node.inputs) {
        const auto inside = made.find(v);
        v = inside != made.end() ? inside->second : once(v);
      }
      made[result] = builder_.append(std::move(node)).at(0);
      kernel.push_back(builder_.graph().value(made[result]).producer);
    }
    late_[index(copy.value)] = made.at(copy.value);
    result_.kernels.push_back(std::move(kernel));
  }

  const Graph& graph_;
  const Lives& lives_;
  const std::map<ValueId, Copy>& copies_;
  std::vector<ValueId> early_, late_;  ///< per value of the old graph: that of the new one
  GraphBuilder builder_;
  Rematerialised result_;
};

}  // namespace

Rematerialised rematerialise(const Graph& graph, const KernelOracle& oracle, const RematerialisationOptions& options) {
  Choice choice(graph, oracle, options);
  const std::map<ValueId, Copy> copies = choice.best();
  if (copies.empty()) return {graph, {}};
  return Rewriting(graph, choice.lives(), copies).run();
}

}  // namespace weft::lowering
