// Where to cut, what to make again, and the copy.
#include "graph/lowering/segments.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "graph/ir/builder.hpp"
#include "graph/lowering/lives.hpp"

namespace weft::lowering {
namespace {

constexpr std::size_t kMostCuts = 256;  ///< places that are considered
constexpr int kSizes = 32;              ///< of the largest segment that are tried
constexpr double kWorthwhile = 0.9;     ///< of the bytes kept otherwise

/// Values that depend on samples or on random numbers: what there is more of in a larger batch.
std::vector<char> find_activations(const Graph& graph) {
  std::vector<char> found(graph.values().size(), 0);
  for (const GraphInput& i : graph.inputs()) found[index(i.value)] = i.role == InputRole::feed ? 1 : 0;
  for (const Node& node : graph.nodes()) {
    const bool any = node.op == Op::random_bits || std::any_of(node.inputs.begin(), node.inputs.end(),
                                                               [&](ValueId v) { return found[index(v)] != 0; });
    for (const ValueId v : node.outputs) found[index(v)] = any ? 1 : 0;
  }
  return found;
}

/// Where the forward pass is cut: positions of the nodes after which segments end, ascending; the last ends at the
/// peak.
class Cuts {
 public:
  Cuts(const Graph& graph, const Lives& lives, const std::vector<char>& activations) : peak_(lives.peak()) {
    const auto size = static_cast<std::size_t>(peak_) + 2;
    std::vector<std::int64_t> change(size, 0);
    kept_.assign(size, 0);
    for (ValueId v = 0; v < static_cast<ValueId>(graph.values().size()); ++v) {
      const int made = lives.made(v);
      if (lives.root(v) != v || made < 0 || made > peak_ || activations[index(v)] == 0) continue;
      const std::vector<int>& reads = lives.reads(v);
      const auto late = std::upper_bound(reads.begin(), reads.end(), peak_);
      if (late != reads.end()) kept_[index(made) + 1] += lives.bytes(v);
      if (late == reads.begin()) continue;
      change[index(made)] += lives.bytes(v);
      change[index(*std::prev(late))] -= lives.bytes(v);
    }
    std::partial_sum(change.begin(), change.end(), std::back_inserter(between_));
    std::partial_sum(kept_.begin(), kept_.end(), kept_.begin());
  }

  std::vector<int> best() const {
    const std::vector<int> places = candidates();
    std::vector<int> cuts;
    double least = kWorthwhile * static_cast<double>(kept(0, peak_ + 1));
    double largest = static_cast<double>(kept(0, peak_ + 1));
    for (int i = 0; i < kSizes; ++i) {
      largest *= 0.8;
      const std::optional<Cutting> found = cheapest(places, static_cast<std::int64_t>(largest));
      if (!found) break;
      if (const auto bytes = static_cast<double>(found->between + found->largest); bytes < least) {
        least = bytes;
        cuts = found->cuts;
      }
    }
    return cuts;
  }

 private:
  struct Cutting {
    std::vector<int> cuts;
    std::int64_t between = 0, largest = 0;
  };

  /// What the backward pass reads of nodes first ... end - 1.
  std::int64_t kept(int first, int end) const { return kept_[index(end)] - kept_[index(first)]; }

  /// Where less lies between than before and after; of very many those where least does.
  std::vector<int> candidates() const {
    std::vector<int> places;
    for (int c = 0; c < peak_; ++c) {
      const std::int64_t here = between_[index(c)];
      if (here > 0 && (c == 0 || here < between_[index(c - 1)]) && kept(0, c + 1) > here) {
        int next = c + 1;
        while (next < peak_ && between_[index(next)] == here) ++next;
        if (between_[index(next)] > here || next == peak_) places.push_back(c);
      }
    }
    if (places.size() > kMostCuts) {
      std::nth_element(places.begin(), places.begin() + kMostCuts, places.end(), [&](int a, int b) {
        return std::pair(between_[index(a)], a) < std::pair(between_[index(b)], b);
      });
      places.resize(kMostCuts);
      std::sort(places.begin(), places.end());
    }
    return places;
  }

  /// The cuts between which least lies, where no segment keeps more than `largest`.
  std::optional<Cutting> cheapest(const std::vector<int>& places, std::int64_t largest) const {
    constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
    const int count = static_cast<int>(places.size());
    const auto begin_of = [&](int i) { return i < 0 ? 0 : places[index(i)] + 1; };
    std::vector<std::int64_t> cost(places.size() + 1, kNever);  // of everything up to cut i; the last: of all
    std::vector<int> before(places.size() + 1, -2);
    for (int i = 0; i <= count; ++i) {
      const int end = i < count ? begin_of(i) : peak_ + 1;
      for (int from = -1; from < i; ++from) {
        if (kept(begin_of(from), end) > largest || (from >= 0 && cost[index(from)] == kNever)) continue;
        const std::int64_t so_far =
            (from < 0 ? 0 : cost[index(from)]) + (i < count ? between_[index(places[index(i)])] : 0);
        if (so_far < cost[index(i)]) cost[index(i)] = so_far, before[index(i)] = from;
      }
    }
    if (cost[index(count)] == kNever) return std::nullopt;
    Cutting found;
    found.between = cost[index(count)];
    int end = peak_ + 1;
    for (int i = before[index(count)];; i = before[index(i)]) {
      found.largest = std::max(found.largest, kept(begin_of(i), end));
      if (i < 0) break;
      end = begin_of(i);
      found.cuts.push_back(places[index(i)]);
    }
    std::reverse(found.cuts.begin(), found.cuts.end());
    return found;
  }

  int peak_;
  std::vector<std::int64_t> between_;  ///< bytes that the forward pass hands from nodes up to here to later ones
  std::vector<std::int64_t> kept_;     ///< bytes that the backward pass reads of the nodes before here
};

/// A segment that is run again.
struct Segment {
  int first = 0, end = 0;   ///< positions
  std::set<NodeId> nodes;   ///< of it that are run again
  std::set<ValueId> given;  ///< what they read that is there: gated
  ValueId awaited = kNone;  ///< the gradient after which they run
};

class SegmentChoice {
 public:
  explicit SegmentChoice(const Graph& graph)
      : graph_(graph), lives_(graph), activations_(find_activations(graph)), users_(graph.users()) {
    const std::vector<int> cuts = Cuts(graph, lives_, activations_).best();
    int first = 0;
    for (const int cut : cuts) {
      Segment s{first, cut + 1, {}, {}, kNone};
      first = cut + 1;
      starts_.push_back(s.first);
      segments_.push_back(std::move(s));
    }
    last_ = first;
    if (cuts.empty()) return;
    mark_gradients();
    const int count = static_cast<int>(segments_.size());
    for (int s = 0; s < count; ++s) fill(segments_[index(s)]);
    for (int s = 0; s < count; ++s)
      if (!segments_[index(s)].nodes.empty()) segments_[index(s)].awaited = gradient_for(s);
  }

  const std::vector<Segment>& segments() const { return segments_; }
  int peak() const { return lives_.peak(); }

  /// The segment that makes `v` again for the node at `reader`; -1: it is taken as it was made.
  int segment_for(ValueId v, NodeId reader) const {
    if (reader <= peak()) return -1;
    const int s = segment_of(v);
    return s >= 0 && is_run_again(s, v) ? s : -1;
  }

 private:
  bool is_run_again(int s, ValueId v) const {
    const Segment& segment = segments_[index(s)];
    return segment.awaited != kNone && segment.nodes.count(graph_.value(v).producer) != 0 && !stays(v);
  }

  int segment_of(ValueId v) const {
    const NodeId maker = graph_.value(v).producer;
    if (maker == kNone || maker >= last_) return -1;
    return static_cast<int>(std::upper_bound(starts_.begin(), starts_.end(), maker) - starts_.begin()) - 1;
  }

  /// Kept whatever is run again: a later segment reads it, or it came from other ranks, or it depends on no samples.
  bool stays(ValueId v) const {
    const Node* maker = graph_.producer(v);
    if (maker == nullptr || activations_[index(v)] == 0 || class_of(maker->op) == OpClass::collective) return true;
    const int made = graph_.value(v).producer;
    if (made >= last_) return true;
    const int end = segments_[index(segment_of(v))].end;
    const std::vector<int>& reads = lives_.reads(v);
    const auto beyond = std::lower_bound(reads.begin(), reads.end(), end);
    return (beyond != reads.end() && *beyond <= peak()) || reads.back() == Lives::kForever;
  }

  /// What depends on the last segment: true gradients do, masks and other companions of forward values do not.
  void mark_gradients() {
    gradient_.assign(graph_.values().size(), 0);
    for (NodeId n = last_; n < static_cast<NodeId>(graph_.nodes().size()); ++n)
      for (const ValueId v : graph_.node(n).outputs) {
        const auto& in = graph_.node(n).inputs;
        const bool any = n <= peak()
                             ? activations_[index(v)] != 0
                             : std::any_of(in.begin(), in.end(), [&](ValueId i) { return gradient_[index(i)] != 0; });
        gradient_[index(v)] = any ? 1 : 0;
      }
  }

  void fill(Segment& segment) const {
    for (NodeId n = segment.first; n < segment.end; ++n)
      for (const ValueId v : graph_.node(n).outputs)
        if (!stays(v) && !users_[index(v)].empty() && users_[index(v)].back() > peak()) collect(segment, v);
  }

  void collect(Segment& segment, ValueId wanted) const {
    std::vector<ValueId> stack{wanted};
    while (!stack.empty()) {
      const ValueId v = stack.back();
      stack.pop_back();
      const NodeId maker = graph_.value(v).producer;
      if (maker < segment.first || maker >= segment.end || stays(v)) {
        if (activations_[index(v)] != 0) segment.given.insert(v);
        continue;
      }
      if (!segment.nodes.insert(maker).second) continue;
      const auto& inputs = graph_.node(maker).inputs;
      stack.insert(stack.end(), inputs.begin(), inputs.end());
    }
  }

  /// The gradient with which the backward pass comes to segment `s`: the first that meets what is made again, or what
  /// depends on that. It depends on later segments alone, so no segment waits for itself.
  ValueId gradient_for(int s) const {
    std::vector<char> again(graph_.values().size(), 0), earlier(graph_.values().size(), 0);
    for (int e = 0; e <= s; ++e)
      for (const NodeId n : segments_[index(e)].nodes)
        for (const ValueId v : graph_.node(n).outputs)
          if (!stays(v)) (e == s ? again : earlier)[index(v)] = 1;
    for (NodeId n = peak() + 1; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const Node& node = graph_.node(n);
      const auto any = [&](const std::vector<char>& marks) {
        return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) { return marks[index(v)] != 0; });
      };
      const bool meets = any(again), before = any(earlier);
      ValueId latest = kNone;
      for (const ValueId v : node.inputs)
        if (meets && gradient_[index(v)] != 0 && again[index(v)] == 0 && earlier[index(v)] == 0 &&
            graph_.value(v).producer > peak())
          latest = std::max(latest, v);
      if (latest != kNone) return latest;
      for (const ValueId v : node.outputs) again[index(v)] = meets ? 1 : 0, earlier[index(v)] = before ? 1 : 0;
    }
    return kNone;
  }

  const Graph& graph_;
  Lives lives_;
  std::vector<char> activations_, gradient_;  ///< per value
  std::vector<std::vector<NodeId>> users_;
  std::vector<Segment> segments_;
  std::vector<int> starts_;  ///< of segments
  int last_ = 0;             ///< where the segment begins that is kept
};

/// The graph again: segments stand where the gradient is there for which they wait, and what reads them after them.
class SegmentCopy {
 public:
  SegmentCopy(const Graph& graph, const SegmentChoice& choice)
      : graph_(graph),
        choice_(choice),
        mapped_(graph.values().size(), kNone),
        made_(graph.nodes().size(), 0),
        again_(choice.segments().size()) {}

  Graph run() {
    for (const GraphInput& i : graph_.inputs())
      mapped_[index(i.value)] = builder_.input(i.name, i.role, graph_.type(i.value));
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n)
      if (n <= choice_.peak() || !waits_for_segment(n)) make(n);
    for (NodeId n = choice_.peak() + 1; n < static_cast<NodeId>(graph_.nodes().size()); ++n) make(n);
    for (const GraphOutput& o : graph_.outputs()) builder_.output(o.name, o.role, mapped_[index(o.value)]);
    return std::move(builder_).take();
  }

 private:
  const Segment& segment(int s) const { return choice_.segments()[index(s)]; }

  /// Of a node that comes before the gradient for which its operands wait: it is made when somebody asks for it.
  bool waits_for_segment(NodeId n) const {
    const Node& node = graph_.node(n);
    return std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId v) {
      const int s = choice_.segment_for(v, n);
      if (s >= 0) return again_[index(s)].empty() && graph_.value(segment(s).awaited).producer > n;
      const NodeId maker = graph_.value(v).producer;
      return maker > choice_.peak() && made_[index(maker)] == 0;
    });
  }

  /// With everything that it depends on.
  void make(NodeId wanted) {
    std::vector<NodeId> stack{wanted};
    while (!stack.empty()) {
      const NodeId n = stack.back();
      if (made_[index(n)] == 0) {
        if (const NodeId missing = missing_for(n); missing != kNone) {
          stack.push_back(missing);
          continue;
        }
        append(n);
      }
      stack.pop_back();
    }
  }

  /// A node that must come first; segments whose gradient is there are run meanwhile.
  NodeId missing_for(NodeId n) {
    for (const ValueId v : graph_.node(n).inputs) {
      const int s = choice_.segment_for(v, n);
      const ValueId needed = s >= 0 ? segment(s).awaited : v;
      const NodeId maker = graph_.value(needed).producer;
      if (maker != kNone && made_[index(maker)] == 0) return maker;
      if (s >= 0 && again_[index(s)].empty()) run_again(s);
    }
    return kNone;
  }

  void append(NodeId n) {
    Node copy = graph_.node(n);
    for (ValueId& v : copy.inputs) {
      const int s = choice_.segment_for(v, n);
      v = s >= 0 ? again_[index(s)].at(v) : mapped_[index(v)];
    }
    const std::vector<ValueId> made = builder_.append(std::move(copy));
    for (std::size_t i = 0; i < made.size(); ++i) mapped_[index(graph_.node(n).outputs[i])] = made[i];
    made_[index(n)] = 1;
  }

  void run_again(int s) {
    const ValueId awaited = mapped_[index(segment(s).awaited)];
    std::map<ValueId, ValueId>& again = again_[index(s)];
    for (const ValueId v : segment(s).given) again[v] = builder_.one(Op::after, {mapped_[index(v)], awaited});
    for (const NodeId n : segment(s).nodes) {
      Node copy = graph_.node(n);
      for (ValueId& v : copy.inputs) {
        const auto found = again.find(v);
        v = found != again.end() ? found->second : mapped_[index(v)];
      }
      // Nothing that it reads is made again.
      if (copy.op == Op::random_bits) copy.inputs[0] = builder_.one(Op::after, {copy.inputs[0], awaited});
      const std::vector<ValueId> made = builder_.append(std::move(copy));
      for (std::size_t i = 0; i < made.size(); ++i) again[graph_.node(n).outputs[i]] = made[i];
    }
  }

  const Graph& graph_;
  const SegmentChoice& choice_;
  GraphBuilder builder_;
  std::vector<ValueId> mapped_;                    ///< per value: as it was made first
  std::vector<char> made_;                         ///< per node
  std::vector<std::map<ValueId, ValueId>> again_;  ///< per segment
};

}  // namespace

Graph recompute_segments(const Graph& graph) {
  const SegmentChoice choice(graph);
  const bool any = std::any_of(choice.segments().begin(), choice.segments().end(),
                               [](const Segment& s) { return s.awaited != kNone; });
  return any ? SegmentCopy(graph, choice).run() : graph;
}

}  // namespace weft::lowering
