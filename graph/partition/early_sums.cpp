// Every partial value is two things to label: as it is made, and as it is read, partial (0) or whole (1).
#include "graph/partition/early_sums.hpp"

#include <vector>

#include "graph/ir/min_cut.hpp"
#include "graph/partition/costs.hpp"

namespace weft {
namespace {

constexpr double kNever = 1e3;  ///< seconds

class Sums {
 public:
  Sums(const Graph& graph, const Placements& placements, const SplitAxis& axis)
      : graph_(graph), placements_(placements), axis_(axis), place_(graph.values().size(), kNone) {
    for (ValueId v = 0; v < static_cast<ValueId>(place_.size()); ++v)
      if (stays_partial(v) || is_taken(v)) {
        place_[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(values_.size());
        values_.push_back(v);
      }
  }

  std::set<ValueId> best() {
    LabelChoice labels(2 * values_.size());
    for (const ValueId v : values_) {
      const double take[2][2] = {{0, seconds_of(v)}, {kNever, 0}};
      labels.add(made(v), read(v), take);
      if (is_taken(v)) labels.add(read(v), kNever, 0);
      connect(labels, v);
    }
    const std::vector<bool> whole = labels.best();
    std::set<ValueId> result;
    for (const ValueId v : values_)
      if (!whole[made(v)] && whole[read(v)]) result.insert(v);
    return result;
  }

 private:
  bool stays_partial(ValueId v) const { return is_partial(placements_.values[static_cast<std::size_t>(v)]); }
  bool is_taken(ValueId v) const { return placements_.settled.count(v) != 0; }
  std::size_t made(ValueId v) const { return 2 * static_cast<std::size_t>(place_[static_cast<std::size_t>(v)]); }
  std::size_t read(ValueId v) const { return made(v) + 1; }

  /// What is made from shares is made of shares, and otherwise of sums.
  void connect(LabelChoice& labels, ValueId v) const {
    const Node* node = graph_.producer(v);
    bool has_shares = false;
    for (const ValueId operand : node == nullptr ? std::vector<ValueId>{} : node->inputs) {
      if (!stays_partial(operand)) continue;
      has_shares = true;
      const double alike[2][2] = {{0, kNever}, {kNever, 0}};
      labels.add(read(operand), made(v), alike);
    }
    if (!has_shares) labels.add(made(v), 0, kNever);  // the shares are made here
  }

  double seconds_of(ValueId v) const {
    const auto taken = placements_.settled.find(v);
    StepCost cost;
    cost.moved = moved_bytes(graph_.type(v), partial(),
                             taken == placements_.settled.end() ? replicated() : taken->second, axis_.size);
    cost.collectives = 1;
    return seconds(cost);
  }

  const Graph& graph_;
  const Placements& placements_;
  const SplitAxis& axis_;
  std::vector<std::int32_t> place_;  ///< by value: its index in values_
  std::vector<ValueId> values_;      ///< those that are partial where they are made
};

}  // namespace

std::set<ValueId> best_sums(const Graph& graph, const Placements& placements, const SplitAxis& axis) {
  return Sums(graph, placements, axis).best();
}

}  // namespace weft
