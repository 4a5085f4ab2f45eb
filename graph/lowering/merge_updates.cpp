// One walk over the schedule, in which updates wait for each other.
#include "graph/lowering/merge_updates.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "graph/lowering/dependencies.hpp"

namespace weft::lowering {
namespace {

constexpr std::int64_t kSmallBytes = 256 << 10;  ///< of a state
constexpr std::int64_t kMostHeld = 1 << 20;      ///< bytes that waiting updates keep alive
constexpr std::size_t kMostMerged = 256;

class MergedUpdates {
 public:
  MergedUpdates(LoweredGraph& graph, const std::vector<Step>& steps, const KernelOracle& oracle)
      : graph_(graph), oracle_(oracle), dependencies_(graph), final_(graph.units.size()) {
    for (std::size_t u = 0; u < final_.size(); ++u) final_[u] = static_cast<int>(u);
    for (const Step& step : steps) visit(step);
    flush();
  }

  std::vector<Step> take_steps() { return std::move(steps_); }

  /// Drops the units that became part of others.
  void renumber(std::vector<Step>& steps) {
    std::vector<int> to(graph_.units.size(), -1);
    std::vector<LoweredUnit> kept;
    for (std::size_t u = 0; u < graph_.units.size(); ++u)
      if (!merged_.count(static_cast<int>(u))) {
        to[u] = static_cast<int>(kept.size());
        kept.push_back(std::move(graph_.units[u]));
      }
    graph_.units = std::move(kept);
    for (Step& step : steps)
      if (step.unit >= 0) step.unit = to[index(step.unit)];
    std::set<std::pair<int, int>> order;
    for (const auto& [first, then] : graph_.order) {
      const int a = to[index(final_[index(first)])], b = to[index(final_[index(then)])];
      if (a != b) order.emplace(a, b);
    }
    graph_.order.assign(order.begin(), order.end());
  }

 private:
  void visit(const Step& step) {
    if (step.kind == Step::Kind::run && !waiting_.empty()) {
      const std::vector<int>& before = dependencies_.before(step.unit);
      if (std::any_of(before.begin(), before.end(), [&](int u) { return waiting_units_.count(u) != 0; })) flush();
    }
    if (step.kind == Step::Kind::copy_state) flush();
    if (step.kind != Step::Kind::run || !is_small_update(graph_.unit(step.unit))) {
      steps_.push_back(step);
      return;
    }
    std::vector<int>& group = waiting_[kind_of(graph_.unit(step.unit))];
    group.push_back(step.unit);
    waiting_units_.insert(step.unit);
    held_ += bytes_kept(graph_.unit(step.unit));
    if (held_ > kMostHeld || group.size() >= kMostMerged) flush();
  }

  bool is_small_update(const LoweredUnit& unit) const {
    if (unit.kind != UnitKind::kernel || unit.outputs.empty() || unit.spec.scratch_bytes > 0) return false;
    for (const int t : unit.outputs) {
      const LoweredTensor& root = graph_.tensor(graph_.root(t));
      if (root.kind != BufferKind::state || root.bytes() > kSmallBytes || root.layout.shape.elements() < 2)
        return false;
    }
    const auto& nodes = unit.spec.body.nodes();
    return std::all_of(nodes.begin(), nodes.end(), [](const Node& node) {
      return is_pointwise(node.op) || node.op == Op::broadcast || node.op == Op::reshape || node.op == Op::constant;
    });
  }

  /// Equal for units that may be segments of one kernel; whether they are is the device's to say.
  static std::string kind_of(const LoweredUnit& unit) {
    const Graph& body = unit.spec.body;
    std::string kind;
    for (const Node& node : body.nodes())
      if (node.op != Op::reshape && node.op != Op::broadcast)
        kind += fmt::format("{}:{} ", name_of(node.op), static_cast<int>(body.type(node.outputs.at(0)).dtype));
    for (const GraphInput& i : body.inputs())
      kind += fmt::format("{}{} ", static_cast<int>(body.type(i.value).dtype),
                          body.type(i.value).shape.elements() == 1 ? "s" : "v");
    return kind;
  }

  std::int64_t bytes_kept(const LoweredUnit& unit) const {
    std::int64_t bytes = 0;
    for (const int t : unit.inputs) {
      const LoweredTensor& root = graph_.tensor(graph_.root(t));
      if (root.kind == BufferKind::arena) bytes += root.bytes();
    }
    return bytes;
  }

  void flush() {
    for (auto& [kind, units] : waiting_)
      for (const int u : merged(units)) steps_.push_back({Step::Kind::run, u, -1});
    waiting_.clear();
    waiting_units_.clear();
    held_ = 0;
  }

  /// The units that do what `units` did: one where the device takes it.
  std::vector<int> merged(const std::vector<int>& units) {
    if (units.size() < 2) return units;
    LoweredUnit all;
    Graph body;
    for (const int u : units) append(graph_.unit(u), all, body);
    const KernelAnswer answer = oracle_.ask(body);
    if (!answer.offer || answer.offer->spec.scratch_bytes > 0) return units;
    all.spec = answer.offer->spec;
    all.seconds = answer.offer->seconds;
    all.key = all.spec.key();
    all.rank = graph_.unit(units.front()).rank;
    all.name = fmt::format("update of {} and {} more", graph_.unit(units.front()).name, units.size() - 1);
    graph_.decisions.push_back({all.name, all.spec.implementation, all.key, all.seconds, answer.refusals});
    const int into = units.front();
    for (const int u : units) {
      final_[index(u)] = into;
      if (u != into) merged_.insert(u);
    }
    graph_.unit(into) = std::move(all);
    return {into};
  }

  static void append(const LoweredUnit& unit, LoweredUnit& all, Graph& body) {
    const Graph& own = unit.spec.body;
    std::vector<ValueId> inside(own.values().size(), kNone);
    const auto lay_out = [&](ValueId v) { body.value(inside[index(v)]).layout = own.layout(v); };
    for (const GraphInput& i : own.inputs()) {
      inside[index(i.value)] = body.add_input(std::to_string(body.inputs().size()), InputRole::feed, own.type(i.value));
      lay_out(i.value);
    }
    for (const Node& node : own.nodes()) {
      std::vector<ValueId> operands;
      std::vector<TensorType> types;
      for (const ValueId v : node.inputs) operands.push_back(inside[index(v)]);
      for (const ValueId v : node.outputs) types.push_back(own.type(v));
      const NodeId made = body.append(node.op, operands, node.attributes, types, node.name);
      body.node(made).literal = node.literal;
      for (std::size_t i = 0; i < node.outputs.size(); ++i) inside[index(node.outputs[i])] = body.node(made).outputs[i];
    }
    for (const GraphOutput& o : own.outputs()) {
      body.add_output(std::to_string(body.outputs().size()), OutputRole::fetch, inside[index(o.value)]);
      lay_out(o.value);
    }
    all.inputs.insert(all.inputs.end(), unit.inputs.begin(), unit.inputs.end());
    all.outputs.insert(all.outputs.end(), unit.outputs.begin(), unit.outputs.end());
    all.sources.insert(all.sources.end(), unit.sources.begin(), unit.sources.end());
  }

  LoweredGraph& graph_;
  const KernelOracle& oracle_;
  Dependencies dependencies_;
  std::map<std::string, std::vector<int>> waiting_;
  std::set<int> waiting_units_;
  std::int64_t held_ = 0;
  std::vector<int> final_;  ///< per unit: what it is part of now
  std::set<int> merged_;    ///< units that are part of another
  std::vector<Step> steps_;
};

}  // namespace

void merge_small_updates(LoweredGraph& graph, std::vector<Step>& steps, const KernelOracle& oracle) {
  MergedUpdates merged(graph, steps, oracle);
  steps = merged.take_steps();
  merged.renumber(steps);
}

}  // namespace weft::lowering
