// A beam search; each try is a propagation over the whole graph.
#include "graph/partition/choose_cuts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "graph/partition/state_cuts.hpp"

namespace weft {
namespace {

bool multiplies(Op op) { return op == Op::dot_general || op == Op::conv_general || op == Op::gather; }

class Search {
 public:
  Search(const Graph& opened, const MeshAxis& axis, const CostRates& rates, const CutLimits& limits,
         const StateCutList& fixed)
      : graph_(opened),
        axis_{axis.name, axis.size, -1},
        mesh_axis_(axis),
        rates_(rates),
        limits_(limits),
        users_(opened.users()) {
    for (const StateCut& cut : fixed)
      if (cut.axis == axis.name && graph_.find_input(cut.state) != kNone) {
        fixed_.push_back(cut);
        decided_.insert(cut.state);
      }
    for (const Node& node : graph_.nodes())
      if (node.op == Op::slice) note_blocks(node);
  }

  StateCutList best() {
    std::vector<Choice> beam{priced(fixed_)};
    for (const Weights& alike : groups()) {
      std::vector<Choice> next = beam;  // this group as it is
      for (const Choice& so_far : beam)
        if (const GraphInput* first = first_whole(alike, so_far))
          for (const StateCut& cut : candidates(*first)) next.push_back(with_all(so_far, alike, cut));
      std::stable_sort(next.begin(), next.end(), [](const Choice& a, const Choice& b) { return a.time < b.time; });
      next.resize(std::min<std::size_t>(next.size(), kBeam));
      beam = std::move(next);
    }
    return std::move(beam.front().cuts);
  }

 private:
  static constexpr std::size_t kBeam = 6;  ///< a cut that pays at once may be in the way of better ones
  using Weights = std::vector<const GraphInput*>;
  struct Choice {
    StateCutList cuts;
    Placements placements;
    double time;
  };

  void note_blocks(const Node& node) {
    const Shape &from = graph_.type(node.inputs[0]).shape, &to = graph_.type(node.outputs[0]).shape;
    for (int d = 0; d < from.rank(); ++d)
      if (to[d] > 0 && to[d] < from[d] && from[d] % to[d] == 0) blocks_[from[d]].insert(from[d] / to[d]);
  }

  /// The node that first multiplies by v or by a transposed, reshaped or converted form of it.
  const Node* first_use(ValueId v) const {
    for (const NodeId n : users_[static_cast<std::size_t>(v)]) {
      const Node& node = graph_.node(n);
      if (multiplies(node.op)) return &node;
      if (node.op != Op::transpose && node.op != Op::reshape && node.op != Op::cast) continue;
      if (const Node* use = first_use(node.outputs[0])) return use;
    }
    return nullptr;
  }

  std::string use_of(ValueId weight) const {
    const Node& node = *first_use(weight);
    std::string text = fmt::format("{} {}", graph_.type(weight).str(), name_of(node.op));
    for (const ValueId v : node.inputs) text += " " + graph_.type(v).str();
    return text;
  }

  /// Weights alike in type and use, in the order of their first use.
  std::vector<Weights> groups() const {
    std::vector<std::pair<const Node*, const GraphInput*>> found;
    for (const GraphInput& i : graph_.inputs())
      if (i.role == InputRole::state && graph_.type(i.value).shape.rank() >= 2 && decided_.count(i.name) == 0)
        if (const Node* use = first_use(i.value)) found.emplace_back(use, &i);
    std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
      return graph_.value(a.first->outputs[0]).producer < graph_.value(b.first->outputs[0]).producer;
    });
    std::vector<Weights> result;
    std::map<std::string, std::size_t> place;
    for (const auto& [use, input] : found) {
      const auto [at, fresh] = place.emplace(use_of(input->value), result.size());
      if (fresh) result.emplace_back();
      result[at->second].push_back(input);
    }
    return result;
  }

  /// The first of them that is not cut; nullptr where all are.
  const GraphInput* first_whole(const Weights& weights, const Choice& choice) const {
    for (const GraphInput* w : weights)
      if (!is_split(lies(choice, w))) return w;
    return nullptr;
  }

  StateCutList candidates(const GraphInput& weight) const {
    StateCutList result;
    const Shape& shape = graph_.type(weight.value).shape;
    for (int d = 0; d < shape.rank(); ++d) {
      std::set<std::int64_t> counts{1};
      if (const auto noted = blocks_.find(shape[d]); noted != blocks_.end())
        counts.insert(noted->second.begin(), noted->second.end());
      for (const std::int64_t n : counts)
        if (shape[d] / n >= axis_.size && (!limits_.even || shape[d] / n % axis_.size == 0))
          result.push_back({weight.name, axis_.name, d, n});
    }
    return result;
  }

  const AxisPlacement& lies(const Choice& choice, const GraphInput* weight) const {
    return choice.placements.values[static_cast<std::size_t>(weight->value)];
  }

  Weights whole_of(const Weights& alike, const Choice& choice) const {
    Weights result;
    for (const GraphInput* w : alike)
      if (!is_split(lies(choice, w))) result.push_back(w);
    return result;
  }

  /// All of them cut alike, but for those that come along with one before.
  Choice with_all(const Choice& so_far, const Weights& alike, StateCut cut) const {
    Choice choice = so_far;
    for (Weights left = whole_of(alike, choice); !left.empty();) {
      cut.state = left.front()->name;
      choice.cuts.push_back(cut);
      choice = priced(std::move(choice.cuts));
      const Weights now = whole_of(alike, choice);
      const std::size_t period = left.size() - now.size();  // it, and those that came along
      if (!now.empty() && now.front() == left[period])
        if (std::optional<Choice> all = repeated(choice, left, period, cut)) choice = std::move(*all);
      left = whole_of(alike, choice);
    }
    return choice;
  }

  /// The rest of `left` as its first `period` lie: every so many are cut, and those between come along. Nothing where
  /// they do not, so that a thousand layers take as many tries as a few where they are alike.
  std::optional<Choice> repeated(const Choice& so_far, const Weights& left, std::size_t period, StateCut cut) const {
    StateCutList cuts = so_far.cuts;
    for (std::size_t i = period; i < left.size(); i += period) {
      cut.state = left[i]->name;
      cuts.push_back(cut);
    }
    Choice all = priced(std::move(cuts));
    for (std::size_t i = period; i < left.size(); ++i)
      if (lies(all, left[i]) != lies(all, left[i % period])) return std::nullopt;
    return all;
  }

  Choice priced(StateCutList cuts) const {
    Placements placements = place_parameters(graph_, axis_, cuts_along(graph_, mesh_axis_, cuts));
    const double time = seconds(cost_of(graph_, placements, axis_), rates_);
    return {std::move(cuts), std::move(placements), time};
  }

  const Graph& graph_;
  const SplitAxis axis_;
  const MeshAxis& mesh_axis_;
  const CostRates rates_;
  const CutLimits limits_;
  StateCutList fixed_;
  std::set<std::string> decided_;  ///< states of `fixed_`
  const std::vector<std::vector<NodeId>> users_;
  std::map<std::int64_t, std::set<std::int64_t>> blocks_;  ///< equal parts that are taken of an extent
};

}  // namespace

StateCutList choose_cuts(const Graph& step, const Mesh& mesh, const CostRates& rates, const CutLimits& limits,
                         const StateCutList& fixed) {
  StateCutList all;
  const Mesh samples{{{"data", mesh.axis_size("data")}}};
  Graph local = partition(step, samples, 0);
  for (const MeshAxis& axis : mesh.axes) {
    if (axis.name == "data" || axis.size == 1) continue;
    const Graph opened = open_composites(local);
    const StateCutList cuts = Search(opened, axis, rates, limits, fixed).best();
    all.insert(all.end(), cuts.begin(), cuts.end());
    local = partition(local, {{axis}}, 0, cuts);
  }
  return all;
}

}  // namespace weft
