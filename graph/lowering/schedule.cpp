// The list scheduler.
#include "graph/lowering/schedule.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "weft/error.hpp"

namespace weft::lowering {
namespace {

class Scheduler {
 public:
  Scheduler(LoweredGraph& graph, const std::string& guard)
      : graph_(graph), after_(graph.units.size()), before_(graph.units.size()), guard_name_(guard) {}

  std::vector<Step> run() {
    add_data_edges();
    add_collective_chain();
    guard_ = guard_unit();
    std::vector<int> copies;
    for (int i = 0; i < static_cast<int>(graph_.state_updates.size()); ++i)
      if (!update_in_place(i)) copies.push_back(i);
    mark_deferred();
    order_units();
    for (const int c : graph_collectives_) wait_for(c);
    for (const int i : copies) steps_.push_back({Step::Kind::copy_state, -1, i});
    return std::move(steps_);
  }

 private:
  void add_edge(int from, int to) {
    if (from != to && after_[index(from)].insert(to).second) before_[index(to)].insert(from);
  }

  void add_data_edges() {
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u) {
      for (const int t : graph_.unit(u).outputs) maker_[t] = u;
      if (graph_.unit(u).kind == UnitKind::collective) graph_collectives_.push_back(u);
    }
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      for (const int t : graph_.unit(u).inputs) {
        readers_[graph_.root(t)].insert(u);
        const auto m = maker_.find(graph_.origin(t));
        if (m != maker_.end()) add_edge(m->second, u);
      }
  }

  void add_collective_chain() {
    std::sort(graph_collectives_.begin(), graph_collectives_.end(),
              [&](int a, int b) { return graph_.unit(a).collective.sequence < graph_.unit(b).collective.sequence; });
    for (std::size_t i = 1; i < graph_collectives_.size(); ++i)
      add_edge(graph_collectives_[i - 1], graph_collectives_[i]);
  }

  /// The unit that makes the guarding fetch, or -1.
  int guard_unit() const {
    for (const auto& [name, t] : graph_.fetches)
      if (const auto m = maker_.find(graph_.origin(t)); name == guard_name_ && m != maker_.end()) return m->second;
    return -1;
  }

  bool reaches(int from, int to) const {
    std::vector<int> stack{from};
    std::set<int> seen;
    while (!stack.empty()) {
      const int u = stack.back();
      stack.pop_back();
      if (u == to) return true;
      if (!seen.insert(u).second) continue;
      stack.insert(stack.end(), after_[index(u)].begin(), after_[index(u)].end());
    }
    return false;
  }

  int state_tensor(const std::string& name) const {
    for (int t = 0; t < static_cast<int>(graph_.tensors.size()); ++t)
      if (graph_.tensor(t).kind == BufferKind::state && graph_.tensor(t).view_of < 0 && graph_.tensor(t).name == name)
        return t;
    return -1;
  }

  /// Gives the new value the state's memory, or says that it cannot have it.
  bool update_in_place(int i) {
    const auto& [name, value] = graph_.state_updates[index(i)];
    const int state = state_tensor(name);
    if (state == value) return true;  // unchanged
    const auto m = maker_.find(value);
    LoweredTensor& t = graph_.tensor(value);
    if (state < 0 || m == maker_.end() || t.view_of >= 0 || t.storage >= 0 || t.kind != BufferKind::arena) return false;
    const LoweredUnit& maker = graph_.unit(m->second);
    if (maker.kind != UnitKind::kernel) return false;
    if (taken_by_another_update(value, i)) return false;
    for (const int r : maker.inputs)
      if (graph_.root(r) == state &&
          !(overwrites_operands(maker) && r == state && graph_.tensor(r).layout.same_placement(t.layout)))
        return false;
    const auto& readers = readers_[state];
    for (const int reader : readers)
      if (reader != m->second && reaches(m->second, reader)) return false;
    if (guard_ >= 0 && reaches(m->second, guard_)) return false;
    for (const int reader : readers) add_edge(reader, m->second);
    if (guard_ >= 0) add_edge(guard_, m->second);
    t.storage = state;
    for (LoweredTensor& view : graph_.tensors)
      if (view.storage == value) view.storage = state;
    return true;
  }

  bool taken_by_another_update(int value, int self) const {
    for (int j = 0; j < static_cast<int>(graph_.state_updates.size()); ++j)
      if (j != self && graph_.root(graph_.state_updates[index(j)].second) == value) return true;
    return false;
  }

  /// Units that depend on a collective on which no other collective depends (a gradient bucket) run last.
  void mark_deferred() {
    deferred_.assign(graph_.units.size(), false);
    std::vector<int> stack;
    std::set<int> seen;
    for (const int c : graph_collectives_) {
      std::vector<int> reach(after_[index(c)].begin(), after_[index(c)].end());
      bool inner = false;
      std::set<int> local;
      while (!reach.empty() && !inner) {
        const int u = reach.back();
        reach.pop_back();
        if (!local.insert(u).second) continue;
        if (graph_.unit(u).kind == UnitKind::collective) {
          inner = depends_by_data(u, c);
          continue;  // the chain alone does not count
        }
        reach.insert(reach.end(), after_[index(u)].begin(), after_[index(u)].end());
      }
      if (!inner) stack.push_back(c);
    }
    while (!stack.empty()) {
      const int u = stack.back();
      stack.pop_back();
      for (const int d : after_[index(u)])
        if (graph_.unit(d).kind != UnitKind::collective && seen.insert(d).second) {
          deferred_[index(d)] = true;
          stack.push_back(d);
        }
    }
  }

  /// Whether a collective reads what a path of kernels from `source` makes (chain edges excluded).
  bool depends_by_data(int collective, int source) const {
    std::vector<int> stack;
    const auto push = [&](int u) {
      for (const int t : graph_.unit(u).inputs) {
        const auto m = maker_.find(graph_.origin(t));
        if (m != maker_.end()) stack.push_back(m->second);
      }
    };
    push(collective);
    std::set<int> seen;
    while (!stack.empty()) {
      const int u = stack.back();
      stack.pop_back();
      if (u == source) return true;
      if (!seen.insert(u).second) continue;
      push(u);
    }
    return false;
  }

  void order_units() {
    std::vector<std::size_t> missing(graph_.units.size());
    for (std::size_t u = 0; u < graph_.units.size(); ++u) missing[u] = before_[u].size();
    count_uses();
    std::set<int> ready;
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      if (missing[index(u)] == 0) ready.insert(u);
    std::size_t done = 0;
    while (!ready.empty()) {
      const int u =
          *std::min_element(ready.begin(), ready.end(), [&](int a, int b) { return priority(a) < priority(b); });
      ready.erase(u);
      issue(u);
      ++done;
      for (const int d : after_[index(u)])
        if (--missing[index(d)] == 0) ready.insert(d);
    }
    check_internal(done == graph_.units.size(), "lowering: the schedule has a cycle");
  }

  void count_uses() {
    for (const LoweredUnit& u : graph_.units) {
      std::set<int> roots;
      for (const int t : u.inputs) roots.insert(graph_.root(t));
      for (const int r : roots) ++uses_[r];
    }
    for (const auto& [name, t] : graph_.fetches) ++uses_[graph_.root(t)];
    for (const auto& [name, t] : graph_.state_updates) ++uses_[graph_.root(t)];
  }

  std::tuple<int, int, int, int> priority(int u) const {
    const LoweredUnit& unit = graph_.unit(u);
    if (unit.kind == UnitKind::collective) return {0, 0, unit.collective.sequence, u};
    int urgency = 1;
    for (const int c : pending_)
      if (before_[index(u)].count(c)) urgency = 2;
    if (deferred_[index(u)]) urgency = 3;
    return {urgency, net_bytes(unit) < 0 ? 0 : 1, unit.rank, u};
  }

  /// Arena bytes that running `unit` would add, less those that nobody needs after it.
  std::int64_t net_bytes(const LoweredUnit& unit) const {
    std::int64_t net = 0;
    std::set<int> roots;
    for (const int t : unit.outputs) {
      const int root = graph_.root(t);
      if (graph_.tensor(root).kind == BufferKind::arena && roots.insert(root).second) net += graph_.tensor(t).bytes();
    }
    for (const int t : unit.inputs) {
      const int root = graph_.root(t);
      const auto left = uses_.find(root);
      if (graph_.tensor(root).kind == BufferKind::arena && roots.insert(root).second && left != uses_.end() &&
          left->second == 1)
        net -= graph_.tensor(t).bytes();
    }
    return net;
  }

  void issue(int u) {
    const LoweredUnit& unit = graph_.unit(u);
    const std::set<int> pending = pending_;
    for (const int c : pending)
      if (unit.kind == UnitKind::kernel && before_[index(u)].count(c)) wait_for(c);
    if (unit.kind == UnitKind::collective) {
      // Its operands may be another collective's results.
      for (const int c : pending)
        if (depends_by_data(u, c)) wait_for(c);
      pending_.insert(u);
    }
    steps_.push_back({Step::Kind::run, u, -1});
    std::set<int> roots;
    for (const int t : unit.inputs) roots.insert(graph_.root(t));
    for (const int r : roots) --uses_[r];
  }

  void wait_for(int c) {
    if (pending_.erase(c) != 0) steps_.push_back({Step::Kind::wait, c, -1});
  }

  LoweredGraph& graph_;
  std::vector<std::set<int>> after_, before_;
  const std::string& guard_name_;
  int guard_ = -1;                        ///< the unit that makes that fetch
  std::map<int, int> maker_;              ///< tensor -> unit
  std::map<int, std::set<int>> readers_;  ///< root tensor -> units
  std::map<int, int> uses_;               ///< root tensor -> readers that have not run
  std::vector<int> graph_collectives_;
  std::vector<bool> deferred_;
  std::set<int> pending_;
  std::vector<Step> steps_;
};

}  // namespace

bool overwrites_operands(const LoweredUnit& unit) {
  return unit.kind == UnitKind::kernel && unit.spec.overwrites_operands;
}

std::vector<Step> schedule(LoweredGraph& graph, const std::string& guard) { return Scheduler(graph, guard).run(); }

}  // namespace weft::lowering
