// Which states may be written where they are.
#include "graph/lowering/updates.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "graph/lowering/dependencies.hpp"

namespace weft::lowering {
namespace {

class InPlaceUpdates {
 public:
  InPlaceUpdates(LoweredGraph graph, const std::string& guard)
      : graph_(std::move(graph)),
        dependencies_(graph_),
        ordered_(graph_.units.size()),
        seen_(graph_.units.size(), 0),
        views_(graph_.tensors.size()),
        readers_(graph_.tensors.size()) {
    for (const auto& [name, t] : graph_.fetches)
      if (name == guard) guard_ = dependencies_.maker(t);
    for (int t = 0; t < static_cast<int>(graph_.tensors.size()); ++t) {
      const LoweredTensor& tensor = graph_.tensor(t);
      if (tensor.kind == BufferKind::state && tensor.view_of < 0 && tensor.storage < 0) states_.emplace(tensor.name, t);
      if (tensor.storage >= 0) views_[index(tensor.storage)].push_back(t);
    }
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      for (const int t : graph_.unit(u).inputs) readers_[index(graph_.root(t))].push_back(u);
    for (const auto& [name, t] : graph_.state_updates) ++updates_[graph_.root(t)];
  }

  LoweredGraph run() {
    for (const auto& [name, value] : graph_.state_updates) update(name, value);
    return std::move(graph_);
  }

 private:
  /// Gives the new value the state's memory where it can have it.
  void update(const std::string& name, int value) {
    const auto found = states_.find(name);
    const int maker = dependencies_.maker(value);
    LoweredTensor& t = graph_.tensor(value);
    if (found == states_.end() || found->second == value || maker < 0) return;
    if (t.view_of >= 0 || t.storage >= 0 || t.kind != BufferKind::arena || updates_[value] > 1) return;
    const int state = found->second;
    if (!writes_once(graph_.unit(maker)) || !may_write_over(graph_.unit(maker), state, t)) return;
    const std::vector<int>& readers = readers_[index(state)];
    if (leads_to_any(maker, readers)) return;
    for (const int reader : readers) add_order(reader, maker);
    if (guard_ >= 0) add_order(guard_, maker);
    t.storage = state;
    for (const int view : views_[index(value)]) graph_.tensor(view).storage = state;
  }

  /// A kernel, or an exchange whose result is memory of its own: a parameter gathered from the ranks that updated it.
  static bool writes_once(const LoweredUnit& maker) {
    return maker.kind == UnitKind::kernel ||
           (maker.kind == UnitKind::collective && maker.collective.kind != CollectiveKind::all_reduce);
  }

  /// The maker reads the state only as it lies in memory, element by element, if at all.
  bool may_write_over(const LoweredUnit& maker, int state, const LoweredTensor& t) const {
    return std::all_of(maker.inputs.begin(), maker.inputs.end(), [&](int r) {
      return graph_.root(r) != state ||
             (overwrites_operands(maker) && r == state && graph_.tensor(r).layout.same_placement(t.layout));
    });
  }

  void add_order(int first, int then) {
    if (first == then) return;
    graph_.order.emplace_back(first, then);
    ordered_[index(first)].push_back(then);
  }

  /// Whether a reader other than the maker itself, or the guard, comes after the maker already.
  bool leads_to_any(int maker, const std::vector<int>& readers) {
    ++stamp_;
    std::vector<int> stack{maker};
    const auto push = [&](const std::vector<int>& units) {
      for (const int u : units)
        if (std::exchange(seen_[index(u)], stamp_) != stamp_) stack.push_back(u);
    };
    while (!stack.empty()) {
      const int u = stack.back();
      stack.pop_back();
      push(dependencies_.after(u));
      push(ordered_[index(u)]);
    }
    const auto reached = [&](int u) { return seen_[index(u)] == stamp_; };
    if (guard_ >= 0 && (guard_ == maker || reached(guard_))) return true;
    return std::any_of(readers.begin(), readers.end(), [&](int r) { return r != maker && reached(r); });
  }

  LoweredGraph graph_;
  Dependencies dependencies_;
  std::vector<std::vector<int>> ordered_;  ///< edges added here
  std::vector<int> seen_;                  ///< in search number `stamp_`
  int stamp_ = 0;
  std::vector<std::vector<int>> views_;    ///< per tensor: windows of its memory
  std::vector<std::vector<int>> readers_;  ///< per root
  std::map<std::string, int> states_;
  std::map<int, int> updates_;  ///< root -> updates that take their values from it
  int guard_ = -1;              ///< the unit that makes that fetch
};

}  // namespace

bool overwrites_operands(const LoweredUnit& unit) {
  return unit.kind == UnitKind::kernel && unit.spec.overwrites_operands;
}

LoweredGraph update_states_in_place(LoweredGraph graph, const std::string& guard) {
  return InPlaceUpdates(std::move(graph), guard).run();
}

}  // namespace weft::lowering
