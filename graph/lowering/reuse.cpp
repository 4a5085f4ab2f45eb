// Whose memory a result takes over.
#include "graph/lowering/reuse.hpp"

#include <algorithm>
#include <set>

#include "graph/lowering/liveness.hpp"
#include "graph/lowering/updates.hpp"

namespace weft::lowering {
namespace {

class Reuse {
 public:
  Reuse(LoweredGraph graph, const std::vector<Step>& steps)
      : graph_(std::move(graph)), steps_(steps), ranges_(live_ranges(graph_, steps)), windows_(graph_.tensors.size()) {
    for (int t = 0; t < static_cast<int>(graph_.tensors.size()); ++t)
      if (const int root = graph_.root(t); root != t) windows_[index(root)].push_back(t);
    for (const auto& [name, t] : graph_.fetches) fetched_.insert(graph_.root(t));
  }

  LoweredGraph run() {
    for (std::size_t s = 0; s < steps_.size(); ++s) {
      if (steps_[s].kind != Step::Kind::run || !overwrites_operands(graph_.unit(steps_[s].unit))) continue;
      const LoweredUnit& unit = graph_.unit(steps_[s].unit);
      std::set<int> taken;
      for (const int out : unit.outputs) {
        const LoweredTensor& o = graph_.tensor(out);
        if (o.storage >= 0 || o.kind != BufferKind::arena || fetched_.count(out)) continue;
        for (const int in : unit.inputs)
          if (fits(in, o, static_cast<int>(s)) && read_one_way(unit, in) && taken.insert(graph_.root(in)).second) {
            move(out, graph_.root(in));
            break;
          }
      }
    }
    return std::move(graph_);
  }

 private:
  /// Whether `o`, made at `step`, can lie exactly over operand `in`, the whole of its memory, which ends there.
  bool fits(int in, const LoweredTensor& o, int step) const {
    const int root = graph_.root(in);
    const LoweredTensor& i = graph_.tensor(in);
    const LoweredTensor& r = graph_.tensor(root);
    return ranges_[index(root)].last == step && r.kind == BufferKind::arena && !fetched_.count(root) &&
           r.bytes() == o.bytes() && i.offset == 0 && size_of(i.dtype) == size_of(o.dtype) &&
           i.layout.same_placement(o.layout);
  }

  /// The unit reads this memory as one operand only: under another shape it would read what is written already.
  bool read_one_way(const LoweredUnit& unit, int in) const {
    return std::all_of(unit.inputs.begin(), unit.inputs.end(),
                       [&](int other) { return other == in || graph_.root(other) != graph_.root(in); });
  }

  void move(int out, int root) {
    ranges_[index(root)].last = ranges_[index(out)].last;
    ranges_[index(out)] = {};
    for (const int t : windows_[index(out)]) graph_.tensor(t).storage = root;
    std::vector<int>& windows = windows_[index(root)];
    windows.insert(windows.end(), windows_[index(out)].begin(), windows_[index(out)].end());
    windows.push_back(out);
    graph_.tensor(out).storage = root;
  }

  LoweredGraph graph_;
  const std::vector<Step>& steps_;
  std::vector<LiveRange> ranges_;          ///< per root
  std::vector<std::vector<int>> windows_;  ///< per root: the other tensors in its memory
  std::set<int> fetched_;                  ///< roots that become fetch buffers
};

}  // namespace

LoweredGraph reuse_dying_operands(LoweredGraph graph, const std::vector<Step>& steps) {
  return Reuse(std::move(graph), steps).run();
}

}  // namespace weft::lowering
