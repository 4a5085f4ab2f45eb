// Planning windows.
#include "graph/lowering/windows.hpp"

#include <algorithm>

namespace weft::lowering {
namespace {

/// Elements in a row below which a copy is worth its time: kernels would read a few numbers here and there.
constexpr std::int64_t kShortestRun = 32;

bool has_own_layouts(Op op) {
  switch (op) {
    case Op::conv_general:
    case Op::conv_data_grad:
    case Op::conv_filter_grad:
    case Op::reduce_window_max:
    case Op::reduce_window_sum:
    case Op::reduce_window_max_grad:
    case Op::reduce_window_sum_grad: return true;
    default: return class_of(op) == OpClass::collective;
  }
}

/// Elements that lie side by side, and the distance from one such run to the next; 0 where there is one run only.
struct Runs {
  std::int64_t length = 1, distance = 0;
};

Runs runs_of(const Layout& layout) {
  std::vector<std::pair<std::int64_t, std::int64_t>> loops;  // stride, extent
  for (int d = 0; d < layout.shape.rank(); ++d)
    if (layout.shape[d] != 1) loops.emplace_back(layout.strides[static_cast<std::size_t>(d)], layout.shape[d]);
  std::sort(loops.begin(), loops.end());
  Runs runs;
  for (const auto& [stride, extent] : loops) {
    if (stride != runs.length) {
      runs.distance = stride;
      break;
    }
    runs.length *= extent;
  }
  return runs;
}

bool all_strides_are_multiples(const Layout& layout, const Runs& runs) {
  for (int d = 0; d < layout.shape.rank(); ++d) {
    const std::int64_t stride = layout.strides[static_cast<std::size_t>(d)];
    if (layout.shape[d] != 1 && stride >= runs.length && stride % runs.distance != 0) return false;
  }
  return true;
}

}  // namespace

std::optional<Window> window_of_slice(const Node& node, const Layout& layout) {
  if (!layout.blocks.empty()) return std::nullopt;
  const Dims &start = node.attributes.integers("start"), &limit = node.attributes.integers("limit");
  const Dims& stride = node.attributes.integers("stride");
  Window window;
  Dims extents;
  for (std::size_t d = 0; d < start.size(); ++d) {
    if (stride[d] != 1) return std::nullopt;
    extents.push_back(limit[d] - start[d]);
    window.offset += start[d] * layout.strides[d];
  }
  window.layout = {Shape(extents), layout.strides, {}};
  const Runs runs = runs_of(window.layout);
  if (window.layout.shape.elements() == 0 || (runs.distance != 0 && runs.length < kShortestRun)) return std::nullopt;
  return window;
}

std::optional<Layout> reshaped(const Layout& layout, const Shape& shape) {
  if (layout.is_row_major()) return Layout::dense(shape);
  if (!layout.blocks.empty() || shape.elements() == 0) return std::nullopt;
  // Runs of dimensions that one loop could walk, innermost first, are cut into the new extents.
  Layout result{shape, Dims(shape.extents().size(), 1), {}};
  int to = shape.rank() - 1;
  for (int from = layout.shape.rank() - 1; from >= 0;) {
    const std::int64_t stride = layout.strides[index(from)];
    std::int64_t extent = layout.shape[from--];
    if (extent == 1) continue;
    while (from >= 0 && (layout.shape[from] == 1 || layout.strides[index(from)] == stride * extent))
      extent *= layout.shape[from--];
    for (std::int64_t taken = 1; taken < extent; --to) {
      if (to < 0 || extent % (taken * shape[to]) != 0) return std::nullopt;
      result.strides[index(to)] = stride * taken;
      taken *= shape[to];
    }
  }
  return result;
}

bool are_apart(const Window& a, const Window& b) {
  if (a.offset + a.layout.storage_elements() <= b.offset || b.offset + b.layout.storage_elements() <= a.offset)
    return true;
  if (!a.layout.blocks.empty() || !b.layout.blocks.empty()) return false;
  // Columns of one matrix: runs at equal distances that never meet.
  const Runs x = runs_of(a.layout), y = runs_of(b.layout);
  if (x.distance == 0 || x.distance != y.distance) return false;
  if (!all_strides_are_multiples(a.layout, x) || !all_strides_are_multiples(b.layout, y)) return false;
  const std::int64_t first = a.offset % x.distance, second = b.offset % x.distance;
  if (first + x.length > x.distance || second + y.length > x.distance) return false;
  return first + x.length <= second || second + y.length <= first;
}

WindowPlan::WindowPlan(const Graph& graph, const std::vector<Unit>& units)
    : graph_(graph),
      users_(graph.users()),
      made_anywhere_(graph.values().size(), 0),
      is_output_(graph.values().size(), 0) {
  for (const GraphOutput& o : graph.outputs()) is_output_[index(o.value)] = 1;
  for (const Unit& unit : units) {
    if (unit.kind != UnitKind::kernel) continue;
    const bool own =
        std::any_of(unit.nodes.begin(), unit.nodes.end(), [&](NodeId n) { return has_own_layouts(graph.node(n).op); });
    for (const ValueId v : unit.outputs) made_anywhere_[index(v)] = own ? 0 : 1;
  }
  survey_slices();
  for (const Node& node : graph.nodes())
    if (node.op == Op::concat) plan(node);
}

/// The last node that reads the value, as a whole or in part. Nodes are in the order of the step.
NodeId WindowPlan::last_reader(ValueId value) const {
  NodeId last = is_output_[index(value)] != 0 ? static_cast<NodeId>(graph_.nodes().size()) : 0;
  for (const NodeId u : users_[index(value)]) {
    const Op op = graph_.node(u).op;
    last = std::max(last, op == Op::reshape || op == Op::slice ? last_reader(graph_.node(u).outputs[0]) : u);
  }
  return last;
}

void WindowPlan::survey_slices() {
  std::map<ValueId, std::map<NodeId, std::int64_t>> ends;  // per operand: elements that are read no more after a node
  for (NodeId n = 0; n < static_cast<NodeId>(graph_.nodes().size()); ++n) {
    const Node& node = graph_.node(n);
    if (node.op != Op::slice) continue;
    Sliced& sliced = sliced_.try_emplace(node.inputs[0], Sliced{0, n, 0}).first->second;
    const std::int64_t elements = graph_.type(node.outputs[0]).shape.elements();
    sliced.elements += elements;
    ends[node.inputs[0]][last_reader(node.outputs[0])] += elements;
  }
  for (auto& [whole, sliced] : sliced_) {
    std::int64_t done = 0;
    for (const auto& [reader, elements] : ends.at(whole)) {
      done += elements;
      sliced.most_done = reader;
      if (8 * done >= 7 * sliced.elements) break;
    }
  }
}

bool WindowPlan::is_window(const Node& slice) const {
  const ValueId whole = slice.inputs[0];
  const Node* maker = graph_.producer(whole);
  if (maker == nullptr || maker->op == Op::constant) return true;
  const Sliced& sliced = sliced_.at(whole);
  if (2 * sliced.elements < graph_.type(whole).shape.elements()) return false;
  return last_reader(slice.outputs[0]) - sliced.most_done <= sliced.most_done - sliced.first;
}

bool WindowPlan::can_be_written_in_place(ValueId part) const {
  return made_anywhere_[index(part)] != 0 && is_output_[index(part)] == 0 && places_.count(part) == 0;
}

void WindowPlan::plan(const Node& concat) {
  const ValueId whole = concat.outputs[0];
  if (is_output_[index(whole)] != 0 || made_anywhere_[index(whole)] == 0 || graph_.value(whole).layout) return;
  for (const NodeId u : users_[index(whole)])
    if (has_own_layouts(graph_.node(u).op)) return;
  const Layout layout = Layout::dense(graph_.type(whole).shape);
  const auto axis = static_cast<std::size_t>(concat.attributes.integer("axis"));
  std::map<ValueId, Place> found;
  std::map<ValueId, int> times;
  for (const ValueId part : concat.inputs) ++times[part];
  std::int64_t at = 0, in_place = 0;
  for (const ValueId part : concat.inputs) {
    const Shape& shape = graph_.type(part).shape;
    const Window window{{shape, layout.strides, {}}, at * layout.strides[axis]};
    at += shape[static_cast<int>(axis)];
    if (times.at(part) > 1 || shape.elements() == 0) continue;
    const Runs runs = runs_of(window.layout);
    if (runs.distance != 0 && runs.length < kShortestRun) continue;
    ValueId made = part;
    const Node* maker = graph_.producer(part);
    if (maker != nullptr && maker->op == Op::reshape) made = maker->inputs[0];
    if (!can_be_written_in_place(made) || (made != part && (runs.distance != 0 || is_output_[index(part)] != 0)))
      continue;
    const Layout own = made == part ? window.layout : Layout::dense(graph_.type(made).shape);
    if (!found.emplace(made, Place{whole, {own, window.offset}}).second) continue;
    in_place += shape.elements();
  }
  if (2 * in_place < layout.shape.elements()) return;
  planned_[whole] = static_cast<int>(found.size());
  places_.merge(found);
}

std::optional<WindowPlan::Place> WindowPlan::place_of(ValueId value) const {
  const auto found = places_.find(value);
  return found == places_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace weft::lowering
