// Uses in the order of the graph, a cache of what is gathered, and the graph again.
#include "graph/partition/regather.hpp"

#include <algorithm>
#include <list>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/partition/partition.hpp"

namespace weft {
namespace {

std::size_t index(std::int32_t id) { return static_cast<std::size_t>(id); }

constexpr std::size_t kMostRepeats = 3;  ///< gathers of one parameter in a step, on average

bool changes_form_only(Op op) {
  switch (op) {
    case Op::cast:
    case Op::reshape:
    case Op::transpose:
    case Op::slice:
    case Op::pad:
    case Op::gather:
    case Op::stop_gradient: return true;
    default: return false;
  }
}

/// Gathers of states, and what is another form of them: by value, the gather's node.
class Forms {
 public:
  explicit Forms(const Graph& graph) : of_(graph.values().size(), kNone) {
    std::vector<char> fixed(of_.size(), 0);  // made from states and constants, but not gathered
    for (const GraphInput& i : graph.inputs()) fixed[index(i.value)] = i.role == InputRole::state;
    for (NodeId n = 0; n < static_cast<NodeId>(graph.nodes().size()); ++n) {
      const Node& node = graph.node(n);
      if (node.outputs.size() != 1) continue;
      const auto is_fixed = [&](ValueId v) { return fixed[index(v)] != 0; };
      const bool all_fixed = std::all_of(node.inputs.begin(), node.inputs.end(), is_fixed);
      const ValueId result = node.outputs[0];
      if (node.op == Op::all_gather && node.attributes.texts("axes") == std::vector<std::string>{kSamplesAxis}) {
        if (all_fixed) of_[index(result)] = n;
        if (all_fixed) gathers_.push_back(n);
      } else if (changes_form_only(node.op) || node.op == Op::constant || node.op == Op::broadcast) {
        fixed[index(result)] = all_fixed;
        const bool others_fixed =
            !node.inputs.empty() && std::all_of(node.inputs.begin() + 1, node.inputs.end(), is_fixed);
        if (others_fixed && changes_form_only(node.op)) of_[index(result)] = of_[index(node.inputs[0])];
      }
    }
  }

  NodeId gather_of(ValueId v) const { return of_[index(v)]; }
  const std::vector<NodeId>& gathers() const { return gathers_; }

 private:
  std::vector<NodeId> of_;
  std::vector<NodeId> gathers_;
};

/// One gather of the new graph.
struct Instance {
  NodeId gather;     ///< of the old graph
  NodeId first_use;  ///< likewise
};

struct Uses {
  std::vector<Instance> instances;                    ///< in the order of their first uses
  std::map<std::pair<NodeId, NodeId>, int> instance;  ///< by reader and gather
};

class Planning {
 public:
  Planning(const Graph& graph, const Forms& forms) : graph_(graph), forms_(forms) {}

  Uses best() const {
    std::size_t kept = kKeptGathers;
    Uses uses = with(kept);
    while (kept < forms_.gathers().size() && uses.instances.size() > kMostRepeats * forms_.gathers().size())
      uses = with(kept *= 2);
    return uses;
  }

 private:
  Uses with(std::size_t kept) const {
    Uses uses;
    std::list<std::pair<NodeId, int>> recent;  // gathers and their instances, the last one read first
    const auto use = [&](NodeId reader, NodeId gather) {
      auto found = std::find_if(recent.begin(), recent.end(), [&](const auto& r) { return r.first == gather; });
      if (found == recent.end()) {
        recent.emplace_front(gather, static_cast<int>(uses.instances.size()));
        uses.instances.push_back({gather, reader});
        if (recent.size() > kept) recent.pop_back();
      } else {
        recent.splice(recent.begin(), recent, found);
      }
      uses.instance[{reader, gather}] = recent.front().second;
    };
    const auto end = static_cast<NodeId>(graph_.nodes().size());
    for (NodeId n = 0; n < end; ++n)
      for (const ValueId v : graph_.node(n).inputs)
        if (const NodeId gather = forms_.gather_of(v); gather != kNone && !is_form(n)) use(n, gather);
    for (const GraphOutput& o : graph_.outputs())
      if (const NodeId gather = forms_.gather_of(o.value); gather != kNone) use(end, gather);
    return uses;
  }

  bool is_form(NodeId n) const {
    const Node& node = graph_.node(n);
    return node.outputs.size() == 1 && forms_.gather_of(node.outputs[0]) != kNone;
  }

  const Graph& graph_;
  const Forms& forms_;
};

class Regathering {
 public:
  Regathering(const Graph& graph, const Forms& forms, const Uses& uses)
      : graph_(graph), forms_(forms), uses_(uses), mapped_(graph.values().size(), kNone) {}

  Graph run() {
    for (const GraphInput& i : graph_.inputs())
      mapped_[index(i.value)] = builder_.input(i.name, i.role, graph_.type(i.value));
    for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
      const Node& node = graph_.node(n);
      gather_up_to(n);
      if (node.outputs.size() == 1 && forms_.gather_of(node.outputs[0]) != kNone) continue;  // made where it is read
      if (!node.outputs.empty() && mapped_[index(node.outputs[0])] != kNone) continue;       // made early
      Node copy = node;
      for (ValueId& v : copy.inputs) v = read(n, v);
      const std::vector<ValueId> results = builder_.append(std::move(copy));
      for (std::size_t i = 0; i < results.size(); ++i) mapped_[index(node.outputs[i])] = results[i];
    }
    const auto end = static_cast<NodeId>(graph_.nodes().size());
    gather_up_to(end);
    for (const GraphOutput& o : graph_.outputs()) builder_.output(o.name, o.role, read(end, o.value));
    return std::move(builder_).take();
  }

 private:
  /// Those that node `n` is the first to read, and some ahead.
  void gather_up_to(NodeId n) {
    while (first_behind_ < uses_.instances.size() && uses_.instances[first_behind_].first_use <= n) ++first_behind_;
    while (gathered_.size() < std::min(first_behind_ + kGathersAhead, uses_.instances.size())) {
      const Node& gather = graph_.node(uses_.instances[gathered_.size()].gather);
      Node copy = gather;
      for (ValueId& v : copy.inputs) v = early(v);
      gathered_.push_back({{gather.outputs[0], builder_.append(std::move(copy))[0]}});
    }
  }

  /// What a gather reads of a state may stand behind the place to which the gather moves.
  ValueId early(ValueId v) {
    if (mapped_[index(v)] != kNone) return mapped_[index(v)];
    Node copy = *graph_.producer(v);
    for (ValueId& operand : copy.inputs) operand = early(operand);
    return mapped_[index(v)] = builder_.append(std::move(copy))[0];
  }

  ValueId read(NodeId reader, ValueId v) {
    const NodeId gather = forms_.gather_of(v);
    return gather == kNone ? mapped_[index(v)]
                           : form(gathered_[static_cast<std::size_t>(uses_.instance.at({reader, gather}))], v);
  }

  /// v, which is some form of a gathered value, of this instance.
  ValueId form(std::map<ValueId, ValueId>& made, ValueId v) {
    if (const auto found = made.find(v); found != made.end()) return found->second;
    Node copy = *graph_.producer(v);
    for (std::size_t i = 0; i < copy.inputs.size(); ++i)
      copy.inputs[i] = i == 0 ? form(made, copy.inputs[i]) : early(copy.inputs[i]);
    return made[v] = builder_.append(std::move(copy))[0];
  }

  const Graph& graph_;
  const Forms& forms_;
  const Uses& uses_;
  GraphBuilder builder_;
  std::vector<ValueId> mapped_;
  std::vector<std::map<ValueId, ValueId>> gathered_;  ///< by instance: values of the old graph, its forms
  std::size_t first_behind_ = 0;
};

}  // namespace

Graph regather(const Graph& graph) {
  const Forms forms(graph);
  if (forms.gathers().empty()) return graph;
  const Uses uses = Planning(graph, forms).best();
  return Regathering(graph, forms, uses).run();
}

}  // namespace weft
