// Members by how many exchanges lie before them, and the graph again with one node for each group.
#include "graph/partition/pack_exchanges.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/partition/partition.hpp"

namespace weft {
namespace {

std::size_t place(std::int32_t id) { return static_cast<std::size_t>(id); }

struct Pack {
  std::vector<NodeId> members;
  std::int64_t bytes = 0;
};

/// How many exchanges each node has behind it on the longest way: equal ones do not depend on one another, nor do those
/// that are joined by groups of equal ones.
std::vector<int> exchanges_before(const Graph& graph) {
  std::vector<int> made(graph.values().size(), 0), result;
  for (const Node& node : graph.nodes()) {
    int most = 0;
    for (const ValueId v : node.inputs) most = std::max(most, made[place(v)]);
    result.push_back(most);
    for (const ValueId v : node.outputs) made[place(v)] = most + (class_of(node.op) == OpClass::collective ? 1 : 0);
  }
  return result;
}

class Packing {
 public:
  Packing(const Graph& graph, std::int64_t bucket_bytes)
      : graph_(graph), mapped_(graph.values().size(), kNone), pack_(graph.nodes().size(), -1) {
    choose(std::min(bucket_bytes, kMostPackedBytes));
  }

  bool changes_nothing() const { return packs_.empty(); }

  Graph run() {
    for (const GraphInput& i : graph_.inputs())
      mapped_[place(i.value)] = builder_.input(i.name, i.role, graph_.type(i.value));
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const int pack = pack_[place(n)];
      // As soon as all that it sends is there.
      if (pack < 0 || n == packs_[place(pack)].members.back() || sends_states(packs_[place(pack)])) make(n);
    }
    for (const GraphOutput& o : graph_.outputs()) builder_.output(o.name, o.role, value(o.value));
    return std::move(builder_).take();
  }

 private:
  void choose(std::int64_t bucket_bytes) {
    using Key = std::tuple<Op, std::vector<std::string>, std::int64_t, DType, int>;
    std::map<Key, Pack> open;
    std::vector<Pack> found;
    const std::vector<int> before = exchanges_before(graph_);
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const Node& node = graph_.node(n);
      const bool scatters = node.op == Op::reduce_scatter && node.attributes.text("kind") == "sum";
      if (!scatters && node.op != Op::all_gather) continue;
      if (node.attributes.texts("axes") != std::vector<std::string>{kSamplesAxis}) continue;
      const TensorType& whole = graph_.type(scatters ? node.inputs[0] : node.outputs[0]);
      const std::int64_t bytes = whole.shape.elements() * static_cast<std::int64_t>(size_of(whole.dtype));
      if (bytes > std::min(kSmallExchangeBytes, bucket_bytes)) continue;
      Pack& pack = open[{node.op, node.attributes.texts("axes"), node.attributes.integer("size"), whole.dtype,
                         before[place(n)]}];
      if (pack.bytes + bytes > bucket_bytes) found.push_back(std::exchange(pack, {}));
      pack.members.push_back(n);
      pack.bytes += bytes;
    }
    for (auto& [key, pack] : open) found.push_back(std::move(pack));
    for (Pack& pack : found)
      if (pack.members.size() > 1) {
        for (const NodeId n : pack.members) pack_[place(n)] = static_cast<int>(packs_.size());
        packs_.push_back(std::move(pack));
      }
  }

  /// Whether nothing must be computed for it.
  bool sends_states(const Pack& pack) const {
    return std::all_of(pack.members.begin(), pack.members.end(), [&](NodeId n) {
      ValueId v = graph_.node(n).inputs[0];
      while (const Node* maker = graph_.producer(v)) {
        if (maker->op != Op::pad && maker->op != Op::transpose && maker->op != Op::reshape) return false;
        v = maker->inputs[0];
      }
      return true;
    });
  }

  /// A value may be wanted before its node's turn: what is packed moves to where the first of it is read.
  ValueId value(ValueId v) {
    if (mapped_[place(v)] == kNone) make(graph_.value(v).producer);
    return mapped_[place(v)];
  }

  void make(NodeId n) {
    const Node& node = graph_.node(n);
    if (!node.outputs.empty() && mapped_[place(node.outputs[0])] != kNone) return;
    if (const int pack = pack_[place(n)]; pack >= 0) return exchange(packs_[place(pack)]);
    Node copy = node;
    for (ValueId& v : copy.inputs) v = value(v);
    const std::vector<ValueId> results = builder_.append(std::move(copy));
    for (std::size_t i = 0; i < results.size(); ++i) mapped_[place(node.outputs[i])] = results[i];
  }

  /// [ranks, elements] for what is whole, [1, elements] for a part.
  void exchange(const Pack& pack) {
    const Node& first = graph_.node(pack.members.front());
    const bool scatters = first.op == Op::reduce_scatter;
    const std::int64_t ranks = first.attributes.integer("size");
    const std::int64_t sent = scatters ? ranks : 1, received = scatters ? 1 : ranks;
    std::vector<ValueId> parts;
    for (const NodeId n : pack.members) {
      const ValueId v = value(graph_.node(n).inputs[0]);
      const ScopedName name(builder_, graph_.node(n).name);
      parts.push_back(builder_.reshape(v, Shape{sent, builder_.shape(v).elements() / sent}));
    }
    const ScopedName name(builder_, first.name);
    const ValueId all = builder_.one(first.op, {builder_.concat(parts, 1)}, first.attributes);
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const ValueId result = graph_.node(pack.members[i]).outputs[0];
      const std::int64_t extent = builder_.shape(parts[i])[1];
      const ValueId part = builder_.slice(all, {0, offset}, {received, offset + extent}, {1, 1});
      mapped_[place(result)] = builder_.reshape(part, graph_.type(result).shape);
      offset += extent;
    }
  }

  const Graph& graph_;
  GraphBuilder builder_;
  std::vector<ValueId> mapped_;
  std::vector<int> pack_;  ///< by node: the one that it is a member of, or -1
  std::vector<Pack> packs_;
};

}  // namespace

Graph pack_exchanges(const Graph& graph, std::int64_t bucket_bytes) {
  Packing packing(graph, bucket_bytes);
  return packing.changes_nothing() ? graph : packing.run();
}

}  // namespace weft
