// Maximum flow by shortest augmenting paths; graphs have a few hundred vertices.
#include "graph/ir/min_cut.hpp"

#include <algorithm>
#include <limits>
#include <queue>

namespace weft {
namespace {

constexpr double kNothing = 1e-15;  ///< seconds: what rounding leaves of an edge

class Flow {
 public:
  explicit Flow(std::size_t vertices) : out_(vertices) {}

  void connect(std::size_t from, std::size_t to, double capacity) {
    out_[from].push_back(arcs_.size());
    arcs_.push_back({to, capacity});
    out_[to].push_back(arcs_.size());
    arcs_.push_back({from, 0});
  }

  /// Sends all that fits.
  void saturate(std::size_t source, std::size_t sink) {
    while (true) {
      std::vector<std::size_t> by(out_.size(), kNobody);
      std::vector<bool> reached(out_.size(), false);
      std::queue<std::size_t> next;
      next.push(source);
      reached[source] = true;
      while (!next.empty() && !reached[sink]) {
        const std::size_t v = next.front();
        next.pop();
        for (const std::size_t a : out_[v]) {
          if (arcs_[a].capacity <= kNothing || reached[arcs_[a].to]) continue;
          reached[arcs_[a].to] = true;
          by[arcs_[a].to] = a;
          next.push(arcs_[a].to);
        }
      }
      if (!reached[sink]) return;
      double room = std::numeric_limits<double>::infinity();
      for (std::size_t v = sink; v != source; v = arcs_[by[v] ^ 1].to) room = std::min(room, arcs_[by[v]].capacity);
      for (std::size_t v = sink; v != source; v = arcs_[by[v] ^ 1].to) {
        arcs_[by[v]].capacity -= room;
        arcs_[by[v] ^ 1].capacity += room;
      }
    }
  }

  /// The vertices from which more could be sent to `sink`.
  std::vector<bool> reaching(std::size_t sink) const {
    std::vector<bool> found(out_.size(), false);
    std::vector<std::size_t> stack{sink};
    found[sink] = true;
    while (!stack.empty()) {
      const std::size_t v = stack.back();
      stack.pop_back();
      for (const std::size_t a : out_[v])
        if (arcs_[a ^ 1].capacity > kNothing && !found[arcs_[a].to]) {
          found[arcs_[a].to] = true;
          stack.push_back(arcs_[a].to);
        }
    }
    return found;
  }

 private:
  static constexpr std::size_t kNobody = static_cast<std::size_t>(-1);
  struct Arc {
    std::size_t to;
    double capacity;
  };
  std::vector<Arc> arcs_;  ///< each beside its reverse
  std::vector<std::vector<std::size_t>> out_;
};

}  // namespace

void LabelChoice::add(std::size_t thing, double zero, double one) { excess_[thing] += one - zero; }

void LabelChoice::add(std::size_t first, std::size_t second, const double (&cost)[2][2]) {
  excess_[first] += cost[1][0] - cost[0][0];
  excess_[second] += cost[1][1] - cost[1][0];
  const double apart = cost[0][1] + cost[1][0] - cost[0][0] - cost[1][1];
  if (apart > 0) edges_.push_back({first, second, apart});
}

std::vector<bool> LabelChoice::best() const {
  const std::size_t source = excess_.size(), sink = source + 1;
  Flow flow(excess_.size() + 2);
  for (std::size_t i = 0; i < excess_.size(); ++i) {
    if (excess_[i] > 0) flow.connect(source, i, excess_[i]);
    if (excess_[i] < 0) flow.connect(i, sink, -excess_[i]);
  }
  for (const Edge& e : edges_) flow.connect(e.from, e.to, e.capacity);
  flow.saturate(source, sink);
  std::vector<bool> labels = flow.reaching(sink);
  labels.resize(excess_.size());
  return labels;
}

}  // namespace weft
