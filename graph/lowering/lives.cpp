// One sweep over the nodes, and the sum of what waits.
#include "graph/lowering/lives.hpp"

#include <algorithm>

#include "graph/ir/passes/precision.hpp"

namespace weft::lowering {

Lives::Lives(const Graph& graph)
    : graph_(graph),
      root_(graph.values().size()),
      made_(graph.values().size(), -1),
      reads_(graph.values().size()),
      contractions_(graph.nodes().size() + 1, 0) {
  for (std::size_t v = 0; v < root_.size(); ++v) root_[v] = static_cast<ValueId>(v);
  for (std::size_t n = 0; n < graph.nodes().size(); ++n) visit(static_cast<int>(n));
  for (const GraphInput& i : graph.inputs()) reads_[index(i.value)].push_back(kForever);
  for (const GraphOutput& o : graph.outputs()) reads_[index(root(o.value))].push_back(kForever);
  find_peak();
}

bool Lives::is_view(const Node& node) const {
  return node.op == Op::reshape || node.op == Op::stop_gradient || is_widening(graph_, node);
}

int Lives::contractions(int position) const {
  return contractions_[static_cast<std::size_t>(std::min(position + 1, static_cast<int>(contractions_.size()) - 1))];
}

int Lives::first_late_read(ValueId v) const {
  for (const int read : reads(v))
    if (read > peak_) return read;
  return kForever;
}

bool Lives::waits(ValueId v) const {
  const ValueId r = root(v);
  return made_[index(r)] <= peak_ && !reads(r).empty() && reads(r).back() > peak_;
}

std::int64_t Lives::bytes(ValueId v) const {
  const Node* maker = graph_.producer(root(v));
  if (maker != nullptr && (maker->op == Op::broadcast || maker->op == Op::iota || maker->op == Op::constant)) return 0;
  const TensorType& type = graph_.type(root(v));
  return type.shape.elements() * static_cast<std::int64_t>(size_of(type.dtype));
}

void Lives::visit(int position) {
  const Node& node = graph_.node(position);
  contractions_[static_cast<std::size_t>(position) + 1] =
      contractions_[static_cast<std::size_t>(position)] + (class_of(node.op) == OpClass::contraction ? 1 : 0);
  if (is_view(node)) {
    root_[index(node.outputs[0])] = root(node.inputs[0]);
    return;
  }
  for (const ValueId v : node.outputs) made_[index(v)] = position;
  for (const ValueId v : node.inputs) reads_[index(root(v))].push_back(position);
}

/// What no contraction lies behind is in no memory then.
void Lives::find_peak() {
  std::vector<std::int64_t> change(graph_.nodes().size() + 1, 0);
  for (std::size_t v = 0; v < root_.size(); ++v) {
    if (root_[v] != static_cast<ValueId>(v) || made_[v] < 0 || reads_[v].empty()) continue;
    const int last = std::min(reads_[v].back(), static_cast<int>(change.size()) - 2);
    if (contractions(last) == contractions(made_[v])) continue;
    change[static_cast<std::size_t>(made_[v])] += bytes(static_cast<ValueId>(v));
    change[static_cast<std::size_t>(last) + 1] -= bytes(static_cast<ValueId>(v));
  }
  std::int64_t live = 0, most = 0;
  for (std::size_t n = 0; n < change.size(); ++n)
    if (live += change[n]; live > most) most = live, peak_ = static_cast<int>(n);
}

}  // namespace weft::lowering
