// The layout pass.
#include "graph/lowering/layouts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <queue>

#include "graph/lowering/body.hpp"
#include "graph/lowering/preferences.hpp"
#include "graph/lowering/tensor_table.hpp"
#include "weft/error.hpp"

namespace weft::lowering {
namespace {

/// Products by one matrix from which on its reorder costs little beside what they gain.
constexpr std::ptrdiff_t kWorthPacking = 8;

class LayoutAssignment : private WindowTable {
 public:
  LayoutAssignment(const Graph& graph, const KernelOracle& oracle, bool propagate)
      : WindowTable(graph, oracle), propagate_(propagate) {}

  LoweredGraph run(const std::vector<Unit>& units) {
    if (propagate_) plan_windows(units);
    for (const GraphInput& i : graph_.inputs())
      tensor_of_[index(i.value)] = add_tensor(i.name, i.role == InputRole::state ? BufferKind::state : BufferKind::feed,
                                              graph_.type(i.value).dtype, Layout::dense(graph_.type(i.value).shape));
    for (const int u : dependency_order(graph_, units)) {
      const Unit& unit = units[index(u)];
      rank_ = rank_of(unit);
      switch (unit.kind) {
        case UnitKind::kernel:
          if (!place_slice(unit) && !place_concat(unit)) place_kernel(unit);
          break;
        case UnitKind::view: place_view(unit); break;
        case UnitKind::collective: place_collective(unit); break;
      }
    }
    rank_ = static_cast<int>(graph_.nodes().size());
    for (const GraphOutput& o : graph_.outputs()) {
      int tensor = in_layout(tensor_for(o.value), Layout::dense(graph_.type(o.value).shape));
      // What another state holds now must be taken before that state changes: a kernel, which the schedule can place.
      const LoweredTensor& root = at(result_.root(tensor));
      const bool unchanged = o.role == OutputRole::state && root.name == o.name;
      if (root.kind == BufferKind::state && !unchanged) tensor = reordered(tensor, at(tensor).layout);
      (o.role == OutputRole::state ? result_.state_updates : result_.fetches).emplace_back(o.name, tensor);
    }
    return std::move(result_);
  }

 private:
  /// The first node that is not a copy of what costs nothing.
  int rank_of(const Unit& unit) const {
    const auto first = std::find_if(unit.nodes.begin(), unit.nodes.end(), [&](NodeId n) {
      const Op op = graph_.node(n).op;
      return op != Op::constant && op != Op::broadcast && op != Op::iota;
    });
    return first == unit.nodes.end() ? unit.nodes.back() : *first;
  }

  using Layouts = std::vector<std::optional<Layout>>;

  /// What a kernel takes with the reorders of its operands, and of results that prefer to lie otherwise.
  double seconds_of(const Unit& unit, const std::vector<int>& inputs, const KernelOffer& offer) const {
    const Graph& body = offer.spec.body;
    double seconds = offer.seconds;
    const auto reorder = [&](DType type, const Layout& from, const Layout& to) {
      if (from.same_placement(to)) return;
      const KernelAnswer answer = oracle_.ask(reorder_body(type, from, to));
      if (answer.offer) seconds += answer.offer->seconds;
    };
    for (std::size_t i = 0; i < inputs.size(); ++i)
      reorder(at(inputs[i]).dtype, at(inputs[i]).layout, body.layout(body.inputs()[i].value));
    for (std::size_t i = 0; i < unit.outputs.size(); ++i)
      if (const auto& preferred = graph_.value(unit.outputs[i]).layout)
        reorder(graph_.type(unit.outputs[i]).dtype, body.layout(body.outputs()[i].value), *preferred);
    return seconds;
  }

  bool is_convolution(const Unit& unit) const {
    const Op anchor = graph_.node(unit.nodes.front()).op;
    return anchor == Op::conv_general || anchor == Op::conv_data_grad || anchor == Op::conv_filter_grad;
  }

  /// All activations in the order that one of them, or the result, prefers; or what the device likes best. The filter's
  /// layout is always its own choice.
  std::vector<Layouts> convolution_proposals(const Unit& unit, const std::vector<int>& inputs) const {
    const std::size_t n = inputs.size();
    const bool gradient_to_filter = graph_.node(unit.nodes.front()).op == Op::conv_filter_grad;
    std::vector<std::size_t> activations;
    for (std::size_t i = 0; i < n; ++i)
      if (at(inputs[i]).layout.shape.rank() >= 3 && (gradient_to_filter || i != 1)) activations.push_back(i);
    std::vector<Layouts> result;
    std::vector<ValueId> models = unit.outputs;
    models.insert(models.end(), unit.inputs.begin(), unit.inputs.end());
    for (const ValueId model : models) {
      if (!propagate_ || !graph_.value(model).layout) continue;
      Layouts alike(n);
      for (const std::size_t i : activations) {
        // What arrives row-major stays so where it has no preference: an image, which the first convolution reads.
        const Shape& shape = at(inputs[i]).layout.shape;
        alike[i] = graph_.value(unit.inputs[i]).layout ? in_order_of(*graph_.value(model).layout, shape)
                                                       : std::optional(at(inputs[i]).layout);
      }
      if (std::find(result.begin(), result.end(), alike) == result.end()) result.push_back(std::move(alike));
    }
    Layouts actual(n), row(n);
    for (std::size_t i = 0; i < n; ++i) {
      actual[i] = at(inputs[i]).layout;
      row[i] = Layout::dense(at(inputs[i]).layout.shape);
    }
    result.insert(result.end(), {Layouts(n), actual, row});
    return result;
  }

  /// Layouts to offer a kernel's operands, best first.
  std::vector<Layouts> proposals(const Unit& unit, const std::vector<int>& inputs) const {
    const std::size_t n = inputs.size();
    Layouts actual(n), row(n);
    for (std::size_t i = 0; i < n; ++i) {
      actual[i] = at(inputs[i]).layout;
      row[i] = Layout::dense(at(inputs[i]).layout.shape);
    }
    if (is_convolution(unit)) return convolution_proposals(unit, inputs);

    // Full-size operands in one layout: that of the largest tensor that is not a state, for states are row-major
    // anyway.
    std::vector<Layouts> result{actual};
    if (const std::size_t weights = often_multiplied_by(unit); weights < n) {
      Layouts packed = actual;
      packed[weights].reset();
      result.insert(result.begin(), std::move(packed));
    }
    for (std::size_t i = 0; i < n; ++i) {
      const Layout& chosen = at(inputs[i]).layout;
      if (chosen.is_row_major()) continue;
      Layouts uniform = row;
      for (std::size_t j = 0; j < n; ++j)
        if (at(inputs[j]).layout.shape == chosen.shape) uniform[j] = chosen;
      result.push_back(std::move(uniform));
    }
    result.push_back(row);
    // A state update is written in place, row-major: prefer that over reordering parameter and moments.
    if (writes_state(unit)) std::rotate(result.begin(), result.end() - 1, result.end());
    return result;
  }

  /// The operand of `unit` by which so many products multiply from the right that one copy for all, laid out as the
  /// device likes it, costs less than that each of them packs it for itself: the recurrent weights of an unrolled
  /// network. Libraries pack what lies transposed, and 16-bit numbers always. As many as operands: none.
  std::size_t often_multiplied_by(const Unit& unit) const {
    const auto none = unit.inputs.size();
    const auto found = std::find_if(unit.nodes.begin(), unit.nodes.end(),
                                    [&](NodeId n) { return graph_.node(n).op == Op::dot_general; });
    if (!windows() || found == unit.nodes.end()) return none;
    const Node& dot = graph_.node(*found);
    const ValueId weights = dot.inputs[1];
    const bool transposed = dot.attributes.integers("y_contract") != Dims{0};
    if (!transposed && size_of(graph_.type(weights).dtype) != 2) return none;
    const auto alike = [&](NodeId n) {
      const Node& other = graph_.node(n);
      return other.op == Op::dot_general && other.inputs[1] == weights && other.inputs[0] != weights &&
             other.attributes.integers("y_contract") == dot.attributes.integers("y_contract");
    };
    const std::vector<NodeId>& users = windows()->users(weights);
    if (std::count_if(users.begin(), users.end(), alike) < kWorthPacking) return none;
    return index(static_cast<int>(std::find(unit.inputs.begin(), unit.inputs.end(), weights) - unit.inputs.begin()));
  }

  bool writes_state(const Unit& unit) const {
    for (const GraphOutput& o : graph_.outputs())
      if (o.role == OutputRole::state &&
          std::find(unit.outputs.begin(), unit.outputs.end(), o.value) != unit.outputs.end())
        return true;
    return false;
  }

  void place_kernel(const Unit& unit) {
    std::vector<int> inputs;
    for (const ValueId v : unit.inputs) inputs.push_back(tensor_for(v));
    Decision decision{unit.name, "", "", 0, {}};
    std::optional<KernelOffer> offer;
    double least = 0;
    for (const Layouts& layouts : proposals(unit, inputs)) {
      KernelAnswer answer = oracle_.ask(with_input_layouts(unit.body, layouts));
      decision.refusals.insert(decision.refusals.end(), answer.refusals.begin(), answer.refusals.end());
      if (!answer.offer) continue;
      const double seconds = is_convolution(unit) ? seconds_of(unit, inputs, *answer.offer) : 0;
      if (!offer || seconds < least) {
        offer = std::move(answer.offer);
        least = seconds;
      }
      if (!is_convolution(unit)) break;
    }
    if (!offer) {
      std::string reasons;
      for (const KernelRefusal& r : decision.refusals) reasons += fmt::format("\n  {}: {}", r.implementation, r.reason);
      throw UserError(
          fmt::format("no kernel on {} for '{}' in any layout:{}", oracle_.target().str(), unit.name, reasons));
    }
    const Graph& body = offer->spec.body;
    const bool padded = std::any_of(body.outputs().begin(), body.outputs().end(),
                                    [&](const GraphOutput& o) { return body.layout(o.value).has_padding(); });
    const bool in_place = !padded && write_in_place(unit, *offer);
    for (std::size_t i = 0; i < inputs.size(); ++i)
      inputs[i] = in_layout(inputs[i], body.layout(body.inputs()[i].value));
    std::vector<int> outputs;
    for (std::size_t i = 0; i < unit.outputs.size(); ++i) {
      const ValueId v = unit.outputs[i];
      int t = in_place ? tensor_in_place(v) : -1;
      if (t < 0)
        t = add_tensor(name_of_value(v), BufferKind::arena, graph_.type(v).dtype, body.layout(body.outputs()[i].value));
      tensor_of_[index(v)] = t;
      outputs.push_back(t);
    }
    std::vector<std::string> sources;
    for (const NodeId n : unit.nodes) {
      const std::string& name = graph_.node(n).name;
      if (!name.empty() && std::find(sources.begin(), sources.end(), name) == sources.end()) sources.push_back(name);
    }
    decision.implementation = offer->spec.implementation;
    decision.seconds = offer->seconds;
    decision.key = offer->spec.key();
    add_kernel(unit.name, std::move(sources), std::move(inputs), std::move(outputs), *offer);
    result_.units.back().key = decision.key;
    result_.units.back().late = unit.late;
    result_.decisions.push_back(std::move(decision));
    // Blocks that are filled up are for convolutions alone: what else reads the result gets it without.
    if (propagate_ && !(padded && is_convolution(unit))) return;
    for (const ValueId v : unit.outputs) {
      const auto& preferred = graph_.value(v).layout;
      tensor_of_[index(v)] =
          in_layout(tensor_of_[index(v)], propagate_ && preferred ? *preferred : Layout::dense(graph_.type(v).shape));
    }
  }

  /// A reshape is another view of the same memory where its order allows that.
  void place_view(const Unit& unit) {
    const Node& node = graph_.node(unit.nodes.front());
    const ValueId v = node.outputs.at(0);
    int from = tensor_for(node.inputs.at(0));
    if (node.op == Op::stop_gradient) {
      tensor_of_[index(v)] = from;
      return;
    }
    if (node.op == Op::after) {
      tensor_of_[index(v)] = gate(unit, from, tensor_for(node.inputs.at(1)));
      return;
    }
    std::optional<Layout> seen = windows() ? reshaped(at(from).layout, graph_.type(v).shape) : std::nullopt;
    if (!seen) {
      from = in_layout(from, Layout::dense(at(from).layout.shape));
      seen = Layout::dense(graph_.type(v).shape);
    }
    const int t = add_tensor(name_of_value(v), at(from).kind, at(from).dtype, *seen);
    result_.tensors[index(t)].view_of = from;
    result_.tensors[index(t)].storage = at(from).storage >= 0 ? at(from).storage : from;
    result_.tensors[index(t)].offset = at(from).offset;
    tensor_of_[index(v)] = t;
  }

  /// The same memory, for readers that run after `awaited` has been made.
  int gate(const Unit& unit, int from, int awaited) {
    const int t = add_tensor(at(from).name + " again", at(from).kind, at(from).dtype, at(from).layout);
    result_.tensors[index(t)].storage = at(from).storage >= 0 ? at(from).storage : from;
    result_.tensors[index(t)].offset = at(from).offset;
    LoweredUnit gate;
    gate.kind = UnitKind::view;
    gate.name = unit.name;
    gate.rank = rank_;
    gate.inputs = {from};
    gate.outputs = {t};
    gate.waits_for = {awaited};
    result_.units.push_back(std::move(gate));
    return t;
  }

  void place_collective(const Unit& unit) {
    const Node& node = graph_.node(unit.nodes.front());
    if (node.op != Op::all_reduce && node.op != Op::all_gather && node.op != Op::reduce_scatter)
      throw InternalError(fmt::format("lowering: collective {} is not lowered", name_of(node.op)));
    const ValueId in = node.inputs.at(0), out = node.outputs.at(0);
    LoweredUnit lowered;
    lowered.kind = UnitKind::collective;
    lowered.name = unit.name;
    lowered.rank = rank_;
    if (!node.name.empty()) lowered.sources = {node.name};
    lowered.inputs = {in_layout(tensor_for(in), Layout::dense(graph_.type(in).shape))};
    lowered.outputs = {add_tensor(name_of_value(out), BufferKind::arena, graph_.type(out).dtype,
                                  Layout::dense(graph_.type(out).shape))};
    lowered.collective.axes = node.attributes.texts("axes");
    lowered.collective.kind = node.op == Op::all_reduce   ? CollectiveKind::all_reduce
                              : node.op == Op::all_gather ? CollectiveKind::all_gather
                                                          : CollectiveKind::reduce_scatter;
    const std::string kind = node.op == Op::all_gather ? "sum" : node.attributes.text("kind");
    lowered.collective.reduce = kind == "sum" ? ReduceKind::sum : kind == "max" ? ReduceKind::max : ReduceKind::min;
    lowered.collective.dtype = graph_.type(in).dtype;
    lowered.collective.count = graph_.type(in).shape.elements();
    tensor_of_[index(out)] = lowered.outputs[0];
    result_.units.push_back(std::move(lowered));
  }

  bool propagate_;
};

}  // namespace

std::vector<int> dependency_order(const Graph& graph, const std::vector<Unit>& units) {
  std::vector<int> maker(graph.values().size(), -1);
  for (std::size_t u = 0; u < units.size(); ++u)
    for (const ValueId v : units[u].outputs) maker[static_cast<std::size_t>(v)] = static_cast<int>(u);
  std::vector<std::vector<int>> dependents(units.size());
  std::vector<int> missing(units.size(), 0);
  for (std::size_t u = 0; u < units.size(); ++u)
    for (const ValueId v : units[u].inputs) {
      const int m = maker[static_cast<std::size_t>(v)];
      if (m < 0) continue;
      dependents[static_cast<std::size_t>(m)].push_back(static_cast<int>(u));
      ++missing[u];
    }
  using Entry = std::pair<NodeId, int>;
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> ready;
  const auto push = [&](int u) { ready.push({units[static_cast<std::size_t>(u)].nodes.back(), u}); };
  for (std::size_t u = 0; u < units.size(); ++u)
    if (missing[u] == 0) push(static_cast<int>(u));
  std::vector<int> order;
  while (!ready.empty()) {
    const int u = ready.top().second;
    ready.pop();
    order.push_back(u);
    for (const int d : dependents[static_cast<std::size_t>(u)])
      if (--missing[static_cast<std::size_t>(d)] == 0) push(d);
  }
  check_internal(order.size() == units.size(), "lowering: fusion made a cycle");
  return order;
}

LoweredGraph assign_layouts(const Graph& graph, const std::vector<Unit>& units, const KernelOracle& oracle,
                            bool propagate) {
  return LayoutAssignment(graph, oracle, propagate).run(units);
}

}  // namespace weft::lowering
