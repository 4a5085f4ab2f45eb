// Each segment is copied node by node; what it lacks is made again or becomes a feed.
#include "graph/pipeline/cut_graph.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "graph/ir/builder.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

class Cutter {
 public:
  Cutter(const Graph& graph, const SegmentRules& rules, const std::string& prefix)
      : graph_(graph),
        rules_(rules),
        prefix_(prefix),
        builders_(static_cast<std::size_t>(rules.segments)),
        mapped_(static_cast<std::size_t>(rules.segments)) {}

  CutGraph run(const std::vector<SegmentOutput>& outputs) {
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n)
      if (const int s = rules_.segment[static_cast<std::size_t>(n)]; s != kWhereRead) make(n, s);
    for (const SegmentOutput& o : outputs) builder(o.segment).output(o.name, o.role, get(o.value, o.segment));
    CutGraph result;
    for (auto& [v, crossing] : crossings_) {
      builder(crossing.from).output(crossing.name, OutputRole::fetch, get(v, crossing.from));
      result.crossings.push_back(std::move(crossing));
    }
    for (GraphBuilder& b : builders_) result.segments.push_back(std::move(b).take());
    return result;
  }

 private:
  GraphBuilder& builder(int segment) { return builders_[static_cast<std::size_t>(segment)]; }

  void make(NodeId n, int segment) {
    Node copy = graph_.node(n);
    for (ValueId& v : copy.inputs) v = get(v, segment);
    const std::vector<ValueId> outputs = graph_.node(n).outputs;
    const std::vector<ValueId> made = builder(segment).append(std::move(copy));
    for (std::size_t i = 0; i < outputs.size(); ++i) mapped_[static_cast<std::size_t>(segment)][outputs[i]] = made[i];
  }

  ValueId get(ValueId v, int segment) {
    auto& mapped = mapped_[static_cast<std::size_t>(segment)];
    if (const auto found = mapped.find(v); found != mapped.end()) return found->second;
    const NodeId producer = graph_.value(v).producer;
    if (producer == kNone) return mapped[v] = input(v, segment);
    const int home = rules_.segment[static_cast<std::size_t>(producer)];
    if (home == kWhereRead || rules_.made_again(producer, segment)) {
      make(producer, segment);
      return mapped.at(v);
    }
    if (home >= segment)
      throw InternalError(
          fmt::format("pipeline: segment {} reads '{}' of segment {}", segment, graph_.node(producer).name, home));
    return mapped[v] = bring(v, home, segment);
  }

  ValueId input(ValueId v, int segment) {
    for (const GraphInput& i : graph_.inputs())
      if (i.value == v) return builder(segment).input(i.name, i.role, graph_.type(v));
    throw InternalError("pipeline: a value without a node is no input");
  }

  ValueId bring(ValueId v, int from, int to) {
    Crossing& crossing = crossings_[v];
    if (crossing.value == kNone) crossing = {fmt::format("{}/{}", prefix_, v), v, graph_.type(v), from, {}};
    auto& readers = crossing.to;
    readers.insert(std::upper_bound(readers.begin(), readers.end(), to), to);
    return builder(to).input(crossing.name, InputRole::feed, crossing.type);
  }

  const Graph& graph_;
  const SegmentRules& rules_;
  const std::string& prefix_;
  std::vector<GraphBuilder> builders_;
  std::vector<std::map<ValueId, ValueId>> mapped_;
  std::map<ValueId, Crossing> crossings_;
};

}  // namespace

CutGraph cut_graph(const Graph& graph, const SegmentRules& rules, const std::vector<SegmentOutput>& outputs,
                   const std::string& prefix) {
  return Cutter(graph, rules, prefix).run(outputs);
}

}  // namespace weft
