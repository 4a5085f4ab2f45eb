// Depths, regions, what must be in memory, and what is read and written.
#include "tests/bench/unavoidable_bytes.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

namespace weft::bench {
namespace {

std::size_t at(std::int32_t id) { return static_cast<std::size_t>(id); }

bool is_alias(Op op) { return op == Op::reshape || op == Op::transpose || op == Op::stop_gradient; }
bool reads_a_part(Op op) {
  return op == Op::gather || op == Op::slice || op == Op::gather_nd || op == Op::gather_elements;
}
bool multiplies(Op op) { return is_matrix_work(op) || is_attention(op); }
bool is_free(Op op) { return op == Op::constant || op == Op::iota; }
/// Recomputing it costs nothing but the reading of its operands.
bool is_recomputable(Op op) { return is_pointwise(op) || op == Op::broadcast; }

class Accounting {
 public:
  explicit Accounting(const Graph& graph)
      : graph_(graph),
        alias_(graph.values().size()),
        depth_(graph.nodes().size(), 0),
        live_(graph.nodes().size(), false),
        region_(graph.nodes().size(), kNone),
        in_memory_(graph.values().size(), false) {}

  UnavoidableBytes run() {
    find_aliases();
    find_live();
    find_regions();
    find_in_memory();
    settle_crossings();
    return count();
  }

 private:
  struct Region {
    std::map<ValueId, double> reads;
    std::set<ValueId> writes;
    ValueId first = kNone;
  };

  const Node& node(NodeId n) const { return graph_.node(n); }
  NodeId maker(ValueId v) const { return graph_.value(alias(v)).producer; }
  ValueId alias(ValueId v) const { return alias_[at(v)]; }
  bool plain(NodeId n) const { return !multiplies(node(n).op) && !is_alias(node(n).op) && !is_free(node(n).op); }
  double bytes(ValueId v) const {
    const TensorType& t = graph_.type(v);
    return static_cast<double>(t.shape.elements()) * static_cast<double>(size_of(t.dtype));
  }

  void find_aliases() {
    std::iota(alias_.begin(), alias_.end(), 0);
    for (const Node& n : graph_.nodes())
      if (is_alias(n.op)) alias_[at(n.outputs[0])] = alias(n.inputs[0]);
  }

  void find_live() {
    std::vector<NodeId> stack;
    const auto push = [&](ValueId v) {
      if (const NodeId p = graph_.value(v).producer; p != kNone && !live_[at(p)])
        live_[at(p)] = true, stack.push_back(p);
    };
    for (const GraphOutput& o : graph_.outputs()) push(o.value);
    while (!stack.empty()) {
      const NodeId n = stack.back();
      stack.pop_back();
      for (const ValueId v : node(n).inputs) push(v);
    }
  }

  NodeId find(NodeId n) {
    while (region_[at(n)] != n) n = region_[at(n)] = region_[at(region_[at(n)])];
    return n;
  }

  void find_regions() {
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      for (const ValueId v : node(n).inputs)
        if (const NodeId p = graph_.value(v).producer; p != kNone)
          depth_[at(n)] = std::max(depth_[at(n)], depth_[at(p)] + (multiplies(node(p).op) ? 1 : 0));
      if (!live_[at(n)] || !plain(n)) continue;
      region_[at(n)] = n;
      for (const ValueId v : node(n).inputs)
        if (const NodeId p = maker(v); p != kNone && plain(p) && depth_[at(p)] == depth_[at(n)])
          region_[at(find(p))] = find(n);
    }
  }

  bool same_region(NodeId a, NodeId b) { return find(a) == find(b); }

  void find_in_memory() {
    for (const GraphInput& i : graph_.inputs()) in_memory_[at(i.value)] = true;
    for (const GraphOutput& o : graph_.outputs()) in_memory_[at(alias(o.value))] = true;
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      if (!live_[at(n)]) continue;
      if (multiplies(node(n).op)) {
        for (const ValueId v : node(n).inputs) in_memory_[at(alias(v))] = true;
        for (const ValueId v : node(n).outputs) in_memory_[at(v)] = true;
      } else if (plain(n)) {
        for (const ValueId v : node(n).inputs) {
          const NodeId p = maker(v);
          if (p == kNone || is_free(node(p).op) || multiplies(node(p).op) || same_region(p, n)) continue;
          (is_recomputable(node(p).op) ? crossings_ : must_cross_).insert(alias(v));
        }
      }
    }
    for (const ValueId v : must_cross_) in_memory_[at(v)] = true;
  }

  /// What is in memory and gives `v` by elementwise nodes.
  void sources(ValueId v, std::set<ValueId>& found, std::set<ValueId>& seen) const {
    v = alias(v);
    if (!seen.insert(v).second) return;
    const NodeId p = maker(v);
    if (p != kNone && is_free(node(p).op)) return;
    if (in_memory_[at(v)] || p == kNone || !is_recomputable(node(p).op)) {
      found.insert(v);
      return;
    }
    for (const ValueId w : node(p).inputs) sources(w, found, seen);
  }

  /// Regions but its own that read `v`.
  std::set<NodeId> reading_regions(ValueId v) {
    std::set<NodeId> regions;
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n)
      if (live_[at(n)] && plain(n))
        for (const ValueId w : node(n).inputs)
          if (alias(w) == v && !same_region(maker(v), n)) regions.insert(find(n));
    return regions;
  }

  double bytes_read(NodeId region) {
    Region r;
    for (const NodeId n : members_[region])
      for (const ValueId v : node(n).inputs) add_reads(n, v, r);
    double sum = 0;
    for (const auto& [v, read] : r.reads) sum += read;
    return sum;
  }

  /// In topological order: keep in memory, or compute again where it is read?
  void settle_crossings() {
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n)
      if (live_[at(n)] && plain(n)) members_[find(n)].push_back(n);
    for (const ValueId v : crossings_) {
      if (in_memory_[at(v)]) continue;
      double again = 0, kept = bytes(v);
      const std::set<NodeId> readers = reading_regions(v);
      for (const NodeId r : readers) again += bytes_read(r);
      in_memory_[at(v)] = true;
      for (const NodeId r : readers) kept += bytes_read(r);
      in_memory_[at(v)] = kept < again;
    }
  }

  UnavoidableBytes count() {
    std::map<NodeId, Region> regions;
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      if (!live_[at(n)] || !plain(n)) continue;
      Region& r = regions[find(n)];
      if (r.first == kNone) r.first = node(n).outputs.at(0);
      for (const ValueId v : node(n).inputs) add_reads(n, v, r);
      for (const ValueId v : node(n).outputs)
        if (in_memory_[at(v)]) r.writes.insert(v);
    }
    UnavoidableBytes result;
    for (auto& [id, r] : regions) {
      take_epilogues(id, r, regions);
      double sum = 0;
      for (const auto& [v, read] : r.reads) sum += read;
      for (const ValueId v : r.writes) sum += bytes(v);
      result.total += sum;
      if (sum > 0) result.by_region[r.first] = sum;
    }
    return result;
  }

  void add_reads(NodeId n, ValueId v, Region& r) {
    const NodeId p = maker(v);
    if (p != kNone && (is_free(node(p).op) || (plain(p) && same_region(p, n)))) return;
    std::set<ValueId> from, seen;
    sources(v, from, seen);
    for (const ValueId s : from) {
      const double part = reads_a_part(node(n).op) && alias(v) == s ? bytes(node(n).outputs[0]) : bytes(s);
      double& read = r.reads[s];
      read = std::max(read, std::min(part, bytes(s)));
    }
  }

  /// Results of contractions that the region alone reads, each paired with a tensor of its size that it becomes.
  void take_epilogues(NodeId id, Region& r, const std::map<NodeId, Region>& regions) {
    std::vector<ValueId> replaced;
    for (const auto& [v, read] : r.reads) {
      const NodeId p = maker(v);
      if (p == kNone || !multiplies(node(p).op) || read_elsewhere(v, id, regions)) continue;
      for (const ValueId w : r.writes)
        if (bytes(w) == bytes(v) && elementwise_from(w, v, id)) {
          replaced.push_back(v);
          r.writes.erase(w);
          break;
        }
    }
    for (const ValueId v : replaced) r.reads.erase(v);
  }

  bool read_elsewhere(ValueId v, NodeId id, const std::map<NodeId, Region>& regions) {
    for (const auto& [other, r] : regions)
      if (other != id && r.reads.count(v) != 0) return true;
    for (const GraphOutput& o : graph_.outputs())
      if (alias(o.value) == v) return true;
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n)
      if (live_[at(n)] && multiplies(node(n).op))
        for (const ValueId w : node(n).inputs)
          if (alias(w) == v) return true;
    return false;
  }

  /// Whether `to` is made of `from`, and of nothing else of this region that is not elementwise.
  bool elementwise_from(ValueId to, ValueId from, NodeId id) {
    std::vector<ValueId> stack{to};
    std::set<ValueId> seen;
    bool reached = false;
    while (!stack.empty()) {
      const ValueId v = alias(stack.back());
      stack.pop_back();
      if (!seen.insert(v).second) continue;
      reached = reached || v == from;
      const NodeId p = maker(v);
      if (p == kNone || !plain(p) || !same_region(p, id)) continue;
      if (!is_recomputable(node(p).op)) return false;
      stack.insert(stack.end(), node(p).inputs.begin(), node(p).inputs.end());
    }
    return reached;
  }

  const Graph& graph_;
  std::vector<ValueId> alias_;
  std::vector<int> depth_;
  std::vector<bool> live_;
  std::vector<NodeId> region_;
  std::vector<bool> in_memory_;
  std::set<ValueId> crossings_, must_cross_;
  std::map<NodeId, std::vector<NodeId>> members_;  ///< of regions, by what `find` gives
};

}  // namespace

bool is_matrix_work(Op op) {
  return op == Op::dot_general || op == Op::conv_general || op == Op::conv_data_grad || op == Op::conv_filter_grad;
}

bool is_attention(Op op) { return op == Op::attention || op == Op::attention_grad; }

double attention_flops(const Graph& graph, const Node& node) {
  const bool gradient = node.op == Op::attention_grad;
  const auto shape = [&](std::size_t operand) -> const Shape& {
    return graph.type(node.inputs.at(operand + (gradient ? 1 : 0))).shape;
  };
  const Shape &q = shape(0), &k = shape(1), &v = shape(2);
  const double pairs = static_cast<double>(q[0] * q[2]) * static_cast<double>(q[1]) * static_cast<double>(k[1]);
  const auto features = static_cast<double>(q[3]), values = static_cast<double>(v[3]);
  const double each = gradient ? 3 * features + 2 * values : features + values;
  return 2 * pairs * each * (node.attributes.integer("causal") != 0 ? 0.5 : 1);
}

UnavoidableBytes unavoidable_bytes(const Graph& graph) { return Accounting(graph).run(); }

}  // namespace weft::bench
