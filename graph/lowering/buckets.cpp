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

class Bucketing {
 public:
  Bucketing(LoweredGraph graph, std::int64_t bucket_bytes, const KernelOracle& oracle)
      : graph_(std::move(graph)), bucket_bytes_(bucket_bytes), oracle_(oracle) {}

  LoweredGraph run() {
    find_readers();
    const std::set<int> inner = depended_on_by_collectives();
    std::vector<int> order;
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      if (graph_.unit(u).kind == UnitKind::collective) order.push_back(u);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return graph_.unit(a).rank < graph_.unit(b).rank; });

    using Key = std::tuple<std::vector<std::string>, ReduceKind, DType>;
    std::map<Key, std::vector<int>> open;
    std::vector<std::vector<int>> buckets;
    for (const int u : order) {
      const CollectiveSpec& c = graph_.unit(u).collective;
      if (inner.count(u)) {
        buckets.push_back({u});
        continue;
      }
      auto& members = open[{c.axes, c.reduce, c.dtype}];
      if (!members.empty() && bytes_of(members) + bytes_of({u}) > bucket_bytes_)
        buckets.push_back(std::exchange(members, {}));
      members.push_back(u);
    }
    for (auto& [key, members] : open)
      if (!members.empty()) buckets.push_back(members);
    std::sort(buckets.begin(), buckets.end(),
              [&](const auto& a, const auto& b) { return graph_.unit(a.back()).rank < graph_.unit(b.back()).rank; });
    for (std::size_t i = 0; i < buckets.size(); ++i) merge(buckets[i], static_cast<int>(i));
    std::erase_if(graph_.units,
                  [](const LoweredUnit& u) { return u.kind == UnitKind::collective && u.inputs.empty(); });
    return std::move(graph_);
  }

 private:
  std::int64_t bytes_of(const std::vector<int>& members) const {
    std::int64_t total = 0;
    for (const int u : members) total += padded(graph_.tensor(graph_.unit(u).inputs[0]).bytes());
    return total;
  }
  /// Members start on cache lines.
  static std::int64_t padded(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

  void find_readers() {
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      for (const int t : graph_.unit(u).inputs) root_readers_[graph_.root(t)].insert(u);
    for (const auto& [name, t] : graph_.state_updates) kept_.insert(graph_.root(t));
    for (const auto& [name, t] : graph_.fetches) kept_.insert(graph_.root(t));
  }

  /// Collectives whose result some other collective's operand depends on.
  std::set<int> depended_on_by_collectives() const {
    std::map<int, int> maker;
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      for (const int t : graph_.unit(u).outputs) maker[t] = u;
    std::set<int> found, seen;
    std::vector<int> stack;
    const auto push_inputs = [&](int u) {
      for (const int t : graph_.unit(u).inputs) {
        const auto m = maker.find(graph_.origin(t));
        if (m != maker.end()) stack.push_back(m->second);
      }
    };
    for (int u = 0; u < static_cast<int>(graph_.units.size()); ++u)
      if (graph_.unit(u).kind == UnitKind::collective) push_inputs(u);
    while (!stack.empty()) {
      const int u = stack.back();
      stack.pop_back();
      if (!seen.insert(u).second) continue;
      if (graph_.unit(u).kind == UnitKind::collective) found.insert(u);
      push_inputs(u);
    }
    return found;
  }

  /// Whether the operand's memory can become a window of the bucket: only this collective reads it.
  bool can_move(int tensor, int unit) const {
    const int root = graph_.root(tensor);
    const LoweredTensor& r = graph_.tensor(root);
    const auto readers = root_readers_.find(root);
    return r.kind == BufferKind::arena && !kept_.count(root) && !moved_.count(root) &&
           r.bytes() == graph_.tensor(tensor).bytes() && readers->second.size() == 1 &&
           *readers->second.begin() == unit;
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

  void merge(const std::vector<int>& members, int sequence) {
    LoweredTensor bucket;
    bucket.dtype = graph_.unit(members[0]).collective.dtype;
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
    if (members.size() > 1) kept.name = "bucket " + std::to_string(sequence) + " of " + std::to_string(members.size());
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
  std::int64_t bucket_bytes_;
  const KernelOracle& oracle_;
  std::map<int, std::set<int>> root_readers_;
  std::set<int> kept_, moved_;
};

}  // namespace

LoweredGraph bucket_collectives(LoweredGraph graph, std::int64_t bucket_bytes, const KernelOracle& oracle) {
  return Bucketing(std::move(graph), bucket_bytes, oracle).run();
}

}  // namespace weft::lowering
