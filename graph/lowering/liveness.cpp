// Live ranges, and the most that lives at once.
#include "graph/lowering/liveness.hpp"

namespace weft::lowering {

std::vector<LiveRange> live_ranges(const LoweredGraph& graph, const std::vector<Step>& steps) {
  std::vector<LiveRange> ranges(graph.tensors.size());
  const auto touch = [&](int tensor, std::size_t step) {
    ranges[index(graph.root(tensor))].touch(static_cast<int>(step));
  };
  for (std::size_t s = 0; s < steps.size(); ++s) {
    if (steps[s].unit >= 0) {
      for (const int t : graph.unit(steps[s].unit).inputs) touch(t, s);
      for (const int t : graph.unit(steps[s].unit).outputs) touch(t, s);
    }
    if (steps[s].update >= 0) touch(graph.state_updates[index(steps[s].update)].second, s);
  }
  for (const auto& [name, t] : graph.fetches) touch(t, steps.size());
  return ranges;
}

std::int64_t peak_bytes(const LoweredGraph& graph, const std::vector<Step>& steps) {
  std::vector<std::int64_t> change(steps.size() + 2, 0);
  const std::vector<LiveRange> ranges = live_ranges(graph, steps);
  for (std::size_t t = 0; t < ranges.size(); ++t) {
    const LoweredTensor& tensor = graph.tensors[t];
    if (tensor.kind != BufferKind::arena || ranges[t].first < 0) continue;
    const std::int64_t bytes = (tensor.bytes() + 63) / 64 * 64;
    change[index(ranges[t].first)] += bytes;
    change[index(ranges[t].last) + 1] -= bytes;
  }
  for (std::size_t s = 0; s < steps.size(); ++s)
    if (steps[s].unit >= 0) {
      const std::int64_t scratch = (graph.unit(steps[s].unit).spec.scratch_bytes + 63) / 64 * 64;
      change[s] += scratch;
      change[s + 1] -= scratch;
    }
  std::int64_t live = 0, peak = 0;
  for (const std::int64_t delta : change) peak = std::max(peak, live += delta);
  return peak;
}

}  // namespace weft::lowering
