// Gradient buckets.
#include "graph/lowering/buckets.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "weft/error.hpp"

namespace weft::lowering {
namespace {

constexpr std::int64_t kFewBytes = 64;

/// Members start on cache lines.
std::int64_t padded(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

bool is_collective(const Node& node) { return class_of(node.op) == OpClass::collective; }

std::int64_t bytes_sent(const Graph& graph, const Node& node) {
  const TensorType& type = graph.type(node.inputs.at(0));
  return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
}

/// Whether what comes before a collective shall not wait for others to come with it. The norm of all gradients, of
/// which some lie in parts, and gathers of parameters updated in parts are at the end of things.
bool is_urgent(const Graph& graph, const Node& node) {
  return node.op != Op::all_gather && bytes_sent(graph, node) >= kFewBytes;
}

bool is_any(const Graph&, const Node&) { return true; }

/// Collectives on whose result the operand of another one, of some kind, depends.
std::set<NodeId> depended_on_by_collectives(const Graph& graph, bool (*kind)(const Graph&, const Node&)) {
  std::set<NodeId> found;
  std::vector<bool> feeds_collective(graph.values().size(), false);
  for (auto n = static_cast<NodeId>(graph.nodes().size()); n-- > 0;) {
    const Node& node = graph.node(n);
    const bool feeds = std::any_of(node.outputs.begin(), node.outputs.end(),
                                   [&](ValueId v) { return feeds_collective[static_cast<std::size_t>(v)]; });
    if (feeds && is_collective(node)) found.insert(n);
    if (feeds || (is_collective(node) && kind(graph, node)))
      for (const ValueId v : node.inputs) feeds_collective[static_cast<std::size_t>(v)] = true;
  }
  return found;
}

/// How many collectives lie before each node on the longest way. Equal ones do not depend on one another, nor through
/// buckets of equal ones.
std::vector<int> collectives_before(const Graph& graph) {
  std::vector<int> made(graph.values().size(), 0), result;
  for (const Node& node : graph.nodes()) {
    int most = 0;
    for (const ValueId v : node.inputs) most = std::max(most, made[static_cast<std::size_t>(v)]);
    result.push_back(most);
    for (const ValueId v : node.outputs) made[static_cast<std::size_t>(v)] = most + (is_collective(node) ? 1 : 0);
  }
  return result;
}

class Bucketing {
 public:
  Bucketing(LoweredGraph graph, const KernelOracle& oracle) : graph_(std::move(graph)), oracle_(oracle) {}

  LoweredGraph run(const std::vector<std::vector<NodeId>>& buckets) {
    find_readers();
    std::map<NodeId, int> unit_of;
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      if (graph_.unit(u).kind == UnitKind::collective) unit_of[graph_.unit(u).rank] = u;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      std::vector<int> members;
      for (const NodeId n : buckets[i]) members.push_back(unit_of.at(n));
      if (graph_.unit(members.at(0)).collective.kind == CollectiveKind::all_reduce)
        merge(members, static_cast<int>(i));
      else
        number(graph_.unit(members.at(0)), static_cast<int>(i));
    }
    std::erase_if(graph_.units,
                  [](const LoweredUnit& u) { return u.kind == UnitKind::collective && u.inputs.empty(); });
    return std::move(graph_);
  }

 private:
  void find_readers() {
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      for (const int t : graph_.unit(u).inputs) root_readers_[graph_.root(t)].insert(u);
    for (const auto& [name, t] : graph_.state_updates) kept_.insert(graph_.root(t));
    for (const auto& [name, t] : graph_.fetches) kept_.insert(graph_.root(t));
  }

  /// Whether the operand's memory can become a window of the bucket: only this collective reads it.
  bool can_move(int tensor, int unit) const {
    const int root = graph_.root(tensor);
    const LoweredTensor& r = graph_.tensor(root);
    const bool read_elsewhere = !root_readers_.contains(root) || root_readers_.at(root) != std::set<int>{unit};
    return !read_elsewhere && r.kind == BufferKind::arena && !kept_.count(root) && !moved_.count(root) &&
           r.bytes() == graph_.tensor(tensor).bytes();
  }

  /// A copy of `tensor` in memory of its own, made right before the collective.
  int copied(int tensor, int rank) {
    const LoweredTensor original = graph_.tensor(tensor);
    Graph body;
    const TensorType type{original.dtype, original.layout.shape};
    const ValueId x = body.add_input("x", InputRole::feed, type);
    const NodeId n = body.append(Op::reorder, {x}, {}, {type});
    const ValueId y = body.node(n).outputs[0];
    body.add_output("y", OutputRole::fetch, y);
    body.value(x).layout = body.value(y).layout = original.layout;
    const KernelAnswer answer = oracle_.ask(body);
    check_internal(answer.offer.has_value(), "no kernel copies a row-major tensor");
    graph_.tensors.push_back(
        {original.name + " (copy)", BufferKind::arena, original.dtype, original.layout, std::nullopt, -1, -1, 0});
    const int to = static_cast<int>(graph_.tensors.size()) - 1;
    LoweredUnit unit;
    unit.name = "copy " + original.name;
    unit.inputs = {tensor};
    unit.outputs = {to};
    unit.spec = answer.offer->spec;
    unit.seconds = answer.offer->seconds;
    unit.rank = rank;
    graph_.units.push_back(std::move(unit));
    return to;
  }

  /// Operand and result of a collective that changes the size stay two tensors.
  static void number(LoweredUnit& unit, int sequence) {
    unit.collective.sequence = sequence;
    unit.name = (unit.collective.kind == CollectiveKind::all_gather ? "all-gather " : "reduce-scatter ") +
                (unit.sources.empty() ? std::to_string(sequence) : unit.name);
  }

  void merge(const std::vector<int>& members, int sequence) {
    LoweredTensor bucket;
    bucket.dtype = graph_.unit(members.at(0)).collective.dtype;
    bucket.name = "bucket " + std::to_string(sequence);
    const int id = static_cast<int>(graph_.tensors.size());
    graph_.tensors.push_back(bucket);
    std::vector<int> inputs, outputs;
    std::vector<std::string> sources;
    std::int64_t offset = 0;
    for (const int u : members) {
      int in = graph_.unit(u).inputs.at(0);
      const int out = graph_.unit(u).outputs.at(0);
      if (!can_move(in, u)) in = copied(in, graph_.unit(u).rank);
      move_into(graph_.root(in), id, offset);
      graph_.tensor(out).storage = id;
      graph_.tensor(out).offset = offset;
      for (LoweredTensor& t : graph_.tensors)  // views of the result made before it had a window
        if (t.storage == out) t.storage = id, t.offset += offset;
      offset += padded(graph_.tensor(in).bytes());
      inputs.push_back(in);
      outputs.push_back(out);
      const auto& s = graph_.unit(u).sources;
      sources.insert(sources.end(), s.begin(), s.end());
    }
    const std::int64_t elements = offset / static_cast<std::int64_t>(size_of(bucket.dtype));
    graph_.tensor(id).layout = Layout::dense(Shape{elements});
    for (const int u : members) graph_.unit(u).inputs.clear();
    LoweredUnit& kept = graph_.unit(members.back());
    kept.inputs = std::move(inputs);
    kept.outputs = std::move(outputs);
    kept.sources = std::move(sources);
    kept.collective.count = elements;
    kept.collective.sequence = sequence;
    if (members.size() > 1)
      kept.name = "bucket " + std::to_string(sequence) + " of " + std::to_string(members.size());
    else if (kept.sources.empty())
      kept.name = std::to_string(sequence);
    kept.name = "all-reduce " + kept.name;
  }

  void move_into(int root, int bucket, std::int64_t offset) {
    moved_.insert(root);
    for (LoweredTensor& t : graph_.tensors)
      if (t.storage == root) t.storage = bucket, t.offset += offset;
    graph_.tensor(root).storage = bucket;
    graph_.tensor(root).offset = offset;
  }

  LoweredGraph graph_;
  const KernelOracle& oracle_;
  std::map<int, std::set<int>> root_readers_;
  std::set<int> kept_, moved_;
};

/// A bucket starts when its last member can, and before those that depend on any member.
std::vector<std::vector<NodeId>> in_order_of_starts(const Graph& graph, std::vector<std::vector<NodeId>> buckets,
                                                    const std::vector<int>& before) {
  using Place = std::tuple<NodeId, int, NodeId>;  // when it starts; of equal ones, what others depend on is first
  std::map<NodeId, std::size_t> bucket_of;
  std::vector<Place> places;
  for (const std::vector<NodeId>& bucket : buckets) {
    int level = 0;
    for (const NodeId n : bucket) {
      bucket_of[n] = places.size();
      level = std::max(level, before[static_cast<std::size_t>(n)]);
    }
    places.emplace_back(bucket.back(), level, bucket.back());
  }
  for (bool changed = true; changed;) {
    changed = false;
    std::vector<NodeId> latest(graph.values().size(), kNone);
    for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes().size()); ++n) {
      NodeId start = kNone;
      for (const ValueId v : graph.node(n).inputs) start = std::max(start, latest[static_cast<std::size_t>(v)]);
      if (const auto bucket = bucket_of.find(n); bucket != bucket_of.end()) {
        NodeId& own = std::get<0>(places[bucket->second]);
        changed = changed || start > own;
        start = own = std::max(start, own);
      }
      for (const ValueId v : graph.node(n).outputs) latest[static_cast<std::size_t>(v)] = start;
    }
  }
  std::vector<std::pair<Place, std::size_t>> order;
  for (std::size_t i = 0; i < places.size(); ++i) order.emplace_back(places[i], i);
  std::sort(order.begin(), order.end());
  std::vector<std::vector<NodeId>> result;
  for (const auto& [place, i] : order) result.push_back(std::move(buckets[i]));
  return result;
}

}  // namespace

std::vector<std::vector<NodeId>> plan_buckets(const Graph& graph, std::int64_t bucket_bytes) {
  struct Open {
    std::vector<NodeId> members;
    std::int64_t bytes = 0;
  };
  using Key = std::tuple<std::vector<std::string>, std::string, DType, int>;
  std::map<Key, Open> open;
  std::vector<std::vector<NodeId>> buckets;
  const std::set<NodeId> read = depended_on_by_collectives(graph, is_any);
  const std::set<NodeId> inner = depended_on_by_collectives(graph, is_urgent);
  const std::vector<int> before = collectives_before(graph);
  for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes().size()); ++n) {
    const Node& node = graph.node(n);
    if (!is_collective(node)) continue;
    if (node.op != Op::all_reduce || inner.count(n)) {
      buckets.push_back({n});
      continue;
    }
    const std::int64_t bytes = padded(bytes_sent(graph, node));
    const int level = read.count(n) != 0 ? before[static_cast<std::size_t>(n)] : kNone;
    Open& bucket =
        open[{node.attributes.texts("axes"), node.attributes.text("kind"), graph.type(node.inputs.at(0)).dtype, level}];
    if (!bucket.members.empty() && bucket.bytes + bytes > bucket_bytes)
      buckets.push_back(std::exchange(bucket, {}).members);
    bucket.members.push_back(n);
    bucket.bytes += bytes;
  }
  for (auto& [key, bucket] : open)
    if (!bucket.members.empty()) buckets.push_back(std::move(bucket.members));
  return in_order_of_starts(graph, std::move(buckets), before);
}

LoweredGraph bucket_collectives(LoweredGraph graph, const std::vector<std::vector<NodeId>>& buckets,
                                const KernelOracle& oracle) {
  return Bucketing(std::move(graph), oracle).run(buckets);
}

}  // namespace weft::lowering
