// Enumeration, exclusion and the choice.
#include "scheduler/planner.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "fmt/format.h"
#include "weft/error.hpp"

namespace weft {
namespace {

std::vector<int> powers_and(int most) {
  std::set<int> all{most};
  for (int n = 1; n <= most; n *= 2) all.insert(n);
  return {all.begin(), all.end()};
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

bool measured_between(const Calibration& costs, int nodes) {
  return std::any_of(costs.collectives.begin(), costs.collectives.end(),
                     [&](const CollectiveCost& c) { return c.nodes == nodes; });
}

Alternative consider(const Arrangement& arrangement, const Site& site, const CalibrationSet& costs,
                     const BuildStep& build) {
  Alternative a;
  a.arrangement = arrangement;
  const auto cores = static_cast<long long>(arrangement.ranks_per_node) * arrangement.threads;
  if (cores > site.node.cores()) {
    a.excluded = fmt::format("needs {} cores a node, which has {}", cores, site.node.cores());
    return a;
  }
  BuiltStep step;
  try {
    step = build(arrangement);
  } catch (const UserError& e) {
    a.excluded = first_line(e.what());
    return a;
  }
  const auto placement = placement_costs(costs, arrangement.ranks_per_node, arrangement.threads, step.target);
  a.note = placement ? placement->note : costs.entries.empty() ? "uncalibrated" : "only another device was measured";
  std::vector<const Program*> passes;
  for (const int p : step.passes) passes.push_back(&step.programs.at(static_cast<std::size_t>(p)));
  a.plan = step.plan;
  a.checkpoint_bytes = step.checkpoint_bytes;
  a.prediction = simulate_placed(passes, placement ? &*placement : nullptr, {step.plan.mesh, arrangement.nodes});
  if (a.note.empty() && arrangement.nodes > 1 && !measured_between(placement->costs, arrangement.nodes))
    a.note = "nothing was measured between nodes";
  const auto needed = (a.prediction.memory_bytes() + kProcessBytes) * arrangement.ranks_per_node;
  if (site.node.memory_bytes > 0 && needed > site.node.memory_bytes)
    a.excluded = fmt::format("needs {} MiB of memory a node, which has {}", needed >> 20, site.node.memory_bytes >> 20);
  return a;
}

/// Errors that two measured alternatives share, such as a rate that is too high, cancel in their ratio, and so do those
/// of two estimates: their intervals count half, in logarithms. How an estimate scales is not shared by what was
/// measured, and counts whole.
bool certainly_faster(const Alternative& a, const Alternative& b) {
  const Prediction &p = a.prediction, &q = b.prediction;
  if (a.is_estimate() != b.is_estimate()) return p.high < q.low;
  return std::sqrt(p.high * p.seconds) < std::sqrt(q.low * q.seconds);
}

using Candidates = std::vector<const Alternative*>;

/// From few cores to many, staying where the gain is not certain. `start`, where given, is what must be beaten.
const Alternative* choose(const Candidates& by_cores, const Alternative* start) {
  const Alternative* chosen = start;
  for (std::size_t begin = 0; begin < by_cores.size();) {
    std::size_t end = begin, fastest = begin;
    for (; end < by_cores.size() && by_cores[end]->arrangement.cores() == by_cores[begin]->arrangement.cores(); ++end)
      if (by_cores[end]->prediction.seconds < by_cores[fastest]->prediction.seconds) fastest = end;
    if (chosen == nullptr || certainly_faster(*by_cores[fastest], *chosen)) chosen = by_cores[fastest];
    begin = end;
  }
  return chosen;
}

/// Among those that were measured; an estimate has to beat them for certain. Not empty.
const Alternative* choose(const std::vector<Alternative>& by_cores) {
  Candidates measured, estimates;
  for (const Alternative& a : by_cores) (a.is_estimate() ? estimates : measured).push_back(&a);
  return choose(estimates, choose(measured, nullptr));
}

std::string compared(const Alternative& a, const Alternative& recommended) {
  const double ratio = a.prediction.seconds / recommended.prediction.seconds;
  if (!std::isfinite(ratio) || ratio <= 0) return "";
  const auto text = ratio >= 1 ? fmt::format("{:.0f} % slower", 100 * (ratio - 1))
                               : fmt::format("{:.0f} % faster", 100 * (1 / ratio - 1));
  if (certainly_faster(a, recommended) || certainly_faster(recommended, a)) return text;
  return text +
         (a.is_estimate() && !recommended.is_estimate() ? " if it scales so: not measured" : ": within the noise");
}

}  // namespace

std::string Arrangement::str() const {
  const auto node = fmt::format("{} x {}", ranks_per_node, threads);
  return nodes == 1 ? node : fmt::format("{} nodes of {}", nodes, node);
}

const Alternative* PlanReport::recommended() const {
  for (const auto& a : alternatives)
    if (a.recommended) return &a;
  return nullptr;
}

std::vector<Arrangement> arrangements(const Site& site, int nodes, std::optional<int> ranks_per_node,
                                      std::optional<int> threads) {
  const int cores = site.node.cores();
  std::vector<Arrangement> all;
  for (const int ranks : ranks_per_node ? std::vector<int>{*ranks_per_node} : powers_and(cores))
    for (const int t : threads ? std::vector<int>{*threads} : powers_and(std::max(1, cores / ranks)))
      all.push_back({nodes, ranks, t});
  return all;
}

PlanReport plan_arrangements(const std::vector<Arrangement>& candidates, const Site& site, const CalibrationSet& costs,
                             const BuildStep& build) {
  std::vector<Alternative> possible, excluded;
  for (const auto& candidate : candidates) {
    auto a = consider(candidate, site, costs, build);
    (a.excluded.empty() ? possible : excluded).push_back(std::move(a));
  }
  const auto fewer_cores = [](const Alternative& a, const Alternative& b) {
    return std::pair(a.arrangement.cores(), a.arrangement.ranks()) <
           std::pair(b.arrangement.cores(), b.arrangement.ranks());
  };
  std::stable_sort(possible.begin(), possible.end(), fewer_cores);
  std::stable_sort(excluded.begin(), excluded.end(), fewer_cores);
  if (!possible.empty()) {
    const auto chosen = static_cast<std::size_t>(choose(possible) - possible.data());
    for (std::size_t i = 0; i < possible.size(); ++i)
      if (i != chosen) possible[i].verdict = compared(possible[i], possible[chosen]);
    possible[chosen].recommended = true;
  }
  std::stable_sort(possible.begin(), possible.end(), [](const Alternative& a, const Alternative& b) {
    return a.prediction.seconds < b.prediction.seconds;
  });
  PlanReport report{std::move(possible)};
  for (auto& a : excluded) report.alternatives.push_back(std::move(a));
  return report;
}

}  // namespace weft
