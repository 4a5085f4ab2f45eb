// Edges between units.
#include "graph/lowering/dependencies.hpp"

#include <algorithm>

namespace weft::lowering {
namespace {

void sort_and_unite(std::vector<std::vector<int>>& lists) {
  for (std::vector<int>& list : lists) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
}

}  // namespace

std::vector<int> makers_of_tensors(const LoweredGraph& graph) {
  std::vector<int> maker(graph.tensors.size(), -1);
  for (std::size_t u = 0; u < graph.units.size(); ++u)
    for (const int t : graph.units[u].outputs) maker[index(t)] = static_cast<int>(u);
  for (std::size_t t = 0; t < maker.size(); ++t) maker[t] = maker[index(graph.origin(static_cast<int>(t)))];
  return maker;
}

Dependencies::Dependencies(const LoweredGraph& graph)
    : before_(graph.units.size()),
      after_(graph.units.size()),
      makers_(graph.units.size()),
      maker_(makers_of_tensors(graph)) {
  const auto add = [&](int first, int then) {
    if (first == then) return;
    after_[index(first)].push_back(then);
    before_[index(then)].push_back(first);
  };
  for (int u = 0; u < static_cast<int>(graph.units.size()); ++u) {
    for (const int t : graph.unit(u).inputs) {
      if (maker_[index(t)] < 0) continue;
      makers_[index(u)].push_back(maker_[index(t)]);
      add(maker_[index(t)], u);
    }
    for (const int t : graph.unit(u).waits_for)
      if (maker_[index(t)] >= 0) add(maker_[index(t)], u);
    if (graph.unit(u).kind == UnitKind::collective) collectives_.push_back(u);
  }
  std::sort(collectives_.begin(), collectives_.end(),
            [&](int a, int b) { return graph.unit(a).collective.sequence < graph.unit(b).collective.sequence; });
  // Before buckets are merged all have the same number, and nothing orders them.
  for (std::size_t i = 1; i < collectives_.size(); ++i)
    if (graph.unit(collectives_[i - 1]).collective.sequence != graph.unit(collectives_[i]).collective.sequence)
      add(collectives_[i - 1], collectives_[i]);
  for (const auto& [first, then] : graph.order) add(first, then);
  sort_and_unite(before_);
  sort_and_unite(after_);
  sort_and_unite(makers_);
}

}  // namespace weft::lowering
