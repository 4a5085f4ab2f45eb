// Hints first, then the search over what they leave open.
#include "src/train/state_cuts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "graph/ir/passes/simplify.hpp"
#include "graph/partition/choose_cuts.hpp"
#include "graph/training/name_patterns.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

constexpr const char* kTensor = "tensor";

/// Exchanges that cost next to nothing: what can be cut is.
constexpr CostRates kFreeNetwork{1e11, 2e10, 1e15, 1e-12};

const std::string& holder_of(const std::string& name, const std::map<std::string, std::string>& tied) {
  const auto found = tied.find(name);
  return found == tied.end() ? name : found->second;
}

void check_hint(const SplitHint& hint, const ModelState& state, int ranks) {
  if (hint.dimension == SplitHint::kWhole) return;
  const Shape& shape = state.initial.shape();
  const auto fits = [&](std::int64_t extent) { return extent % hint.blocks == 0 && extent / hint.blocks >= ranks; };
  if (hint.dimension < shape.rank() && fits(shape[hint.dimension])) return;
  std::vector<int> others;
  for (int d = 0; d < shape.rank(); ++d)
    if (fits(shape[d])) others.push_back(d);
  const std::string type = TensorType{state.initial.dtype(), shape}.str();
  const std::string allowed = others.empty() ? "none" : fmt::format("{}, or none", fmt::join(others, ", "));
  if (hint.dimension >= shape.rank())
    throw UserError(
        fmt::format("parallel.split: '{}' names dimension {} of '{}' {}, which has no such dimension. Allowed: {}",
                    hint.pattern, hint.dimension, state.name, type, allowed));
  throw UserError(fmt::format(
      "parallel.split: '{}' cuts dimension {} of '{}' {} in {} block{} over {} ranks: blocks are of equal "
      "extent, with an index for each rank at least. Allowed dimensions: {}",
      hint.pattern, hint.dimension, state.name, type, hint.blocks, hint.blocks == 1 ? "" : "s", ranks, allowed));
}

bool cuts_any(const StateCutList& cuts) {
  return std::any_of(cuts.begin(), cuts.end(), [](const StateCut& c) { return c.dimension != StateCut::kWhole; });
}

/// Whether a rank's share of the step can be taken: parts of different extents may need other forms of the graph.
bool can_be_taken(const Graph& step, const Mesh& mesh, const StateCutList& cuts) {
  try {
    partition(step, mesh, 0, cuts);
    return true;
  } catch (const UserError&) {
    return false;
  }
}

}  // namespace

StateCutList hinted_cuts(const std::vector<SplitHint>& hints, const Model& model,
                         const std::map<std::string, std::string>& tied, const Mesh& mesh) {
  std::vector<std::string> patterns, names;
  for (const SplitHint& hint : hints) patterns.push_back(hint.pattern);
  for (const ModelState& state : model.states) names.push_back(state.name);
  check_patterns_used("parallel.split", patterns, names);
  const int ranks = mesh.axis_size(kTensor);
  std::map<std::string, const SplitHint*> first;  // by holder; of tied states the first hint that names any
  for (const ModelState& state : model.states) {
    const auto hint =
        std::find_if(hints.begin(), hints.end(), [&](const SplitHint& h) { return matches(h.pattern, state.name); });
    if (hint == hints.end()) continue;
    check_hint(*hint, state, ranks);
    const SplitHint*& known = first[holder_of(state.name, tied)];
    if (known == nullptr || &*hint < known) known = &*hint;
  }
  StateCutList cuts;
  if (ranks == 1) return cuts;
  for (const auto& [state, hint] : first) cuts.push_back({state, kTensor, hint->dimension, hint->blocks});
  return cuts;
}

CutChoice choose_state_cuts(const Graph& step, const Mesh& mesh, const StateCutList& fixed) {
  CutChoice choice;
  const bool cuts_states =
      std::any_of(mesh.axes.begin(), mesh.axes.end(), [](const MeshAxis& a) { return a.name != "data" && a.size > 1; });
  if (!cuts_states) return choice;
  const Graph simple = simplify(step);
  const auto chosen = [&](const CostRates& rates) {
    StateCutList cuts = choose_cuts(simple, mesh, rates, {}, fixed);
    if (!can_be_taken(simple, mesh, cuts)) cuts = choose_cuts(simple, mesh, rates, {.even = true}, fixed);
    return cuts;
  };
  choice.cuts = chosen({});
  if (!cuts_any(choice.cuts)) {
    choice.cuts = chosen(kFreeNetwork);
    choice.remark =
        cuts_any(choice.cuts)
            ? fmt::format(
                  "no cut of this model's parameters gains as much time as its exchanges are estimated to "
                  "cost: they are cut so that the ranks of {} share the memory; fewer tensor ranks may be "
                  "faster",
                  mesh.str())
            : fmt::format(
                  "no parameter is cut over the mesh {}: none can be, or parallel.split keeps them whole, and "
                  "the tensor ranks all compute the same",
                  mesh.str());
  }
  choice.cuts = settled_with(simple, mesh, choice.cuts);
  return choice;
}

StateCutList settled_with(const Graph& step, const Mesh& mesh, const StateCutList& cuts) {
  return merged(settled_cuts(mesh, state_placements(step, mesh, cuts)), cuts);
}

StateCutList merged(StateCutList cuts, const StateCutList& others) {
  std::set<std::pair<std::string, std::string>> known;
  for (const StateCut& cut : cuts) known.emplace(cut.state, cut.axis);
  for (const StateCut& cut : others)
    if (known.emplace(cut.state, cut.axis).second) cuts.push_back(cut);
  std::stable_sort(cuts.begin(), cuts.end(), [](const StateCut& a, const StateCut& b) { return a.state < b.state; });
  return cuts;
}

std::string summary_of(const StateCutList& cuts) {
  std::map<std::string, std::int64_t> by_axis;
  for (const StateCut& cut : cuts) by_axis[cut.axis] += cut.dimension != StateCut::kWhole ? 1 : 0;
  std::vector<std::string> parts;
  for (const auto& [axis, count] : by_axis) parts.push_back(fmt::format("{} along {}", count, axis));
  if (parts.empty()) return "";
  return fmt::format("states in parts over ranks: {}", fmt::join(parts, ", "));
}

}  // namespace weft
