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
  a.note = placement ? placement->note : "uncalibrated";
  std::vector<const Program*> passes;
  for (const int p : step.passes) passes.push_back(&step.programs.at(static_cast<std::size_t>(p)));
  a.plan = step.plan;
  a.prediction =
      simulate_sequence(passes, placement ? &placement->costs : nullptr, {step.plan.mesh, arrangement.nodes});
  const auto needed = (a.prediction.memory_bytes() + kProcessBytes) * arrangement.ranks_per_node;
  if (site.node.memory_bytes > 0 && needed > site.node.memory_bytes)
    a.excluded = fmt::format("needs {} MiB of memory a node, which has {}", needed >> 20, site.node.memory_bytes >> 20);
  return a;
}

/// Bounds for comparisons. Errors that two alternatives share, such as a rate that is too high, cancel in their ratio,
/// so intervals count half, in logarithms; scaled costs may be off by more than their intervals say.
double low_of(const Alternative& a) {
  return std::sqrt(a.prediction.low * a.prediction.seconds) * (a.note.empty() ? 1 : 0.9);
}
double high_of(const Alternative& a) {
  return std::sqrt(a.prediction.high * a.prediction.seconds) * (a.note.empty() ? 1 : 1.1);
}

/// From few cores to many, staying where the gain is not certain. Not empty.
std::size_t choose(const std::vector<Alternative>& by_cores) {
  std::size_t chosen = 0;
  for (std::size_t begin = 0; begin < by_cores.size();) {
    std::size_t end = begin, fastest = begin;
    for (; end < by_cores.size() && by_cores[end].arrangement.cores() == by_cores[begin].arrangement.cores(); ++end)
      if (by_cores[end].prediction.seconds < by_cores[fastest].prediction.seconds) fastest = end;
    if (begin == 0 || high_of(by_cores[fastest]) < low_of(by_cores[chosen])) chosen = fastest;
    begin = end;
  }
  return chosen;
}

std::string compared(const Alternative& a, const Alternative& recommended) {
  const double ratio = a.prediction.seconds / recommended.prediction.seconds;
  if (!std::isfinite(ratio) || ratio <= 0) return "";
  const bool overlap = low_of(a) <= high_of(recommended) && low_of(recommended) <= high_of(a);
  const auto text = ratio >= 1 ? fmt::format("{:.0f} % slower", 100 * (ratio - 1))
                               : fmt::format("{:.0f} % faster", 100 * (1 / ratio - 1));
  return overlap ? text + ": within the noise" : text;
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
    const auto chosen = choose(possible);
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
