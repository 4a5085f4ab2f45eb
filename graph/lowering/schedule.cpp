// The list scheduler.
#include "graph/lowering/schedule.hpp"

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <tuple>

#include "graph/lowering/dependencies.hpp"
#include "weft/error.hpp"

namespace weft::lowering {
namespace {

void append_state_copies(const LoweredGraph& graph, std::vector<Step>& steps) {
  for (std::size_t i = 0; i < graph.state_updates.size(); ++i) {
    const auto& [name, value] = graph.state_updates[i];
    const LoweredTensor& root = graph.tensor(graph.root(value));
    if (root.kind != BufferKind::state || root.name != name)
      steps.push_back({Step::Kind::copy_state, -1, static_cast<int>(i)});
  }
}

class Scheduler {
 public:
  explicit Scheduler(const LoweredGraph& graph) : graph_(graph), dependencies_(graph) {}

  std::vector<Step> run() {
    mark_deferred();
    order_units();
    for (const int c : dependencies_.collectives()) wait_for(c);
    append_state_copies(graph_, steps_);
    return std::move(steps_);
  }

 private:
  /// Units that depend on a collective on which no other collective depends (a gradient bucket) run last.
  void mark_deferred() {
    deferred_.assign(graph_.units.size(), 0);
    std::vector<int> stack;
    std::set<int> seen;
    for (const int c : dependencies_.collectives()) {
      std::vector<int> reach = dependencies_.after(c);
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
        reach.insert(reach.end(), dependencies_.after(u).begin(), dependencies_.after(u).end());
      }
      if (!inner) stack.push_back(c);
    }
    while (!stack.empty()) {
      const int u = stack.back();
      stack.pop_back();
      for (const int d : dependencies_.after(u))
        if (graph_.unit(d).kind != UnitKind::collective && seen.insert(d).second) {
          deferred_[index(d)] = 1;
          stack.push_back(d);
        }
    }
  }

  /// Whether a collective reads what a path of kernels from `source` makes (chain edges excluded).
  bool depends_by_data(int collective, int source) const {
    std::vector<int> stack = dependencies_.makers(collective);
    std::set<int> seen;
    while (!stack.empty()) {
      const int u = stack.back();
      stack.pop_back();
      if (u == source) return true;
      if (!seen.insert(u).second) continue;
      stack.insert(stack.end(), dependencies_.makers(u).begin(), dependencies_.makers(u).end());
    }
    return false;
  }

  bool comes_right_before(int first, int then) const {
    const std::vector<int>& before = dependencies_.before(then);
    return std::binary_search(before.begin(), before.end(), first);
  }

  void order_units() {
    std::vector<std::size_t> missing(graph_.units.size());
    for (std::size_t u = 0; u < graph_.units.size(); ++u) missing[u] = dependencies_.before(static_cast<int>(u)).size();
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
      for (const int d : dependencies_.after(u))
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
      if (comes_right_before(c, u)) urgency = 2;
    if (deferred_[index(u)] != 0) urgency = 3;
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
      if (unit.kind == UnitKind::kernel && comes_right_before(c, u)) wait_for(c);
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

  const LoweredGraph& graph_;
  Dependencies dependencies_;
  std::map<int, int> uses_;  ///< root tensor -> readers that have not run
  std::vector<char> deferred_;
  std::set<int> pending_;
  std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> schedule(const LoweredGraph& graph) { return Scheduler(graph).run(); }

std::vector<Step> schedule_as_written(const LoweredGraph& graph) {
  const Dependencies dependencies(graph);
  std::vector<std::size_t> missing(graph.units.size());
  using Entry = std::pair<int, int>;  // rank, unit
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  const auto unit_count = static_cast<int>(graph.units.size());
  for (int u = 0; u < unit_count; ++u) {
    missing[index(u)] = dependencies.before(u).size();
    if (missing[index(u)] == 0) ready.emplace(graph.unit(u).rank, u);
  }
  std::vector<Step> steps;
  std::size_t done = 0;
  for (; !ready.empty(); ++done) {
    const int u = ready.top().second;
    ready.pop();
    steps.push_back({Step::Kind::run, u, -1});
    if (graph.unit(u).kind == UnitKind::collective) steps.push_back({Step::Kind::wait, u, -1});
    for (const int d : dependencies.after(u))
      if (--missing[index(d)] == 0) ready.emplace(graph.unit(d).rank, d);
  }
  check_internal(done == graph.units.size(), "lowering: the schedule has a cycle");
  append_state_copies(graph, steps);
  return steps;
}

}  // namespace weft::lowering
