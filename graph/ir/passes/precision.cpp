// What is narrow is decided on the graph as it is; then it is copied, each value in one form or in both.
#include "graph/ir/passes/precision.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/attention.hpp"
#include "graph/ir/passes/prune.hpp"

namespace weft {
namespace {

constexpr std::int64_t kLargeElements = 1 << 12;  ///< an elementwise result below is kept as it is
constexpr std::size_t kMostSources = 2;
constexpr int kMostExponent = 8;

std::size_t slot(std::int32_t id) { return static_cast<std::size_t>(id); }

bool is_movement(Op op) {
  return op == Op::reshape || op == Op::transpose || op == Op::slice || op == Op::concat || op == Op::reverse ||
         op == Op::pad;
}

/// Chooses among elements of its first operand, or puts elements of its second where those were.
bool chooses_maxima(Op op) { return op == Op::reduce_window_max || op == Op::reduce_window_max_grad; }

/// Of any type.
bool contracts(Op op) { return class_of(op) == OpClass::contraction || is_attention(op); }

/// What is known of the values of a graph before any is narrowed.
class Narrowing {
 public:
  explicit Narrowing(const Graph& graph)
      : graph_(graph),
        users_(graph.users()),
        is_output_(graph.values().size(), false),
        wanted_(graph.values().size(), false),
        reaches_(graph.values().size(), false),
        narrow_(graph.values().size(), false),
        given_(graph.values().size(), false),
        exact_(graph.values().size(), false),
        depth_(graph.values().size(), 0),
        far_(graph.values().size(), 0),
        sources_(graph.values().size()),
        ended_(graph.nodes().size(), false) {
    for (const GraphOutput& o : graph.outputs()) is_output_[slot(o.value)] = true;
    for (const GraphInput& i : graph.inputs()) given_[slot(i.value)] = true;
    measure_depths();
    look_back();
    for (const Node& node : graph.nodes()) decide(node);
  }

  bool is_f32(ValueId v) const { return graph_.type(v).dtype == DType::f32; }
  bool is_f32_contraction(const Node& node) const {
    return multiplied(node.op).operands > 0 && is_f32(node.inputs[0]) && is_f32(node.outputs[0]);
  }
  /// Rounded, for all its readers.
  bool is_narrow(ValueId v) const { return narrow_[slot(v)]; }
  /// An input or a constant, or a movement of such alone: contractions read a rounded copy, others the value itself.
  bool is_given(ValueId v) const { return given_[slot(v)]; }

 private:
  void measure_depths() {
    for (const Node& node : graph_.nodes())
      for (const ValueId v : node.outputs) depth_[slot(v)] = depth_of(node) + (contracts(node.op) ? 1 : 0);
  }

  /// Contractions on the longest way to the node's operands.
  int depth_of(const Node& node) const {
    int depth = 0;
    for (const ValueId v : node.inputs) depth = std::max(depth, depth_[slot(v)]);
    return depth;
  }

  /// Backwards: what contractions depend on, what they read, and how far away readers are.
  void look_back() {
    for (auto n = graph_.nodes().rbegin(); n != graph_.nodes().rend(); ++n) {
      const Node& node = *n;
      const std::size_t factors = is_f32_contraction(node) ? multiplied(node.op).operands : 0;
      bool reaches = contracts(node.op), wanted = false;
      int far = depth_of(node);
      for (const ValueId v : node.outputs) {
        reaches = reaches || reaches_[slot(v)];
        wanted = wanted || (is_movement(node.op) && wanted_[slot(v)]);
        if (is_movement(node.op)) far = std::max(far, far_[slot(v)]);
      }
      for (std::size_t i = 0; i < node.inputs.size(); ++i) {
        const ValueId v = node.inputs[i];
        if (reaches) reaches_[slot(v)] = true;
        const bool moved = wanted && !(node.op == Op::pad && i == 1);
        if (is_f32(v) && (i < factors || moved)) wanted_[slot(v)] = true;
        far_[slot(v)] = std::max(far_[slot(v)], far);
      }
    }
  }

  void decide(const Node& node) {
    if (is_attention(node.op) && is_f32_contraction(node))
      for (std::size_t i = 0; i < multiplied(node.op).results; ++i) narrow_[slot(node.outputs[i])] = true;
    if (node.outputs.size() != 1 || !is_f32(node.outputs[0])) return;
    const ValueId v = node.outputs[0];
    if (node.op == Op::constant) {
      given_[slot(v)] = true;
    } else if (is_f32_contraction(node)) {
      const ValueId tail = end_of(node);
      if (reaches_[slot(tail)]) narrow_[slot(tail)] = true;
    } else if (is_movement(node.op)) {
      decide_movement(node);
    } else if (chooses_maxima(node.op)) {
      narrow_[slot(v)] = narrow_[slot(node.inputs[0])] && (node.inputs.size() == 1 || reaches_[slot(v)]);
    } else if (wanted_[slot(v)]) {
      narrow_[slot(v)] = true;
    } else if (is_pointwise(node.op) && !narrow_[slot(v)]) {
      narrow_[slot(v)] = is_worth_storing(node) || is_exact_and_shared(node);
    }
    if (is_pointwise(node.op) && !narrow_[slot(v)]) {
      sources_[slot(v)] = sources_of(node);
      exact_[slot(v)] = is_exact(node);
    }
    if (node.op == Op::broadcast) exact_[slot(v)] = is_power_of_two(node.inputs[0]);
    if (narrow_[slot(v)]) exact_[slot(v)] = true;
  }

  void decide_movement(const Node& node) {
    const std::size_t count = node.op == Op::pad ? 1 : node.inputs.size();
    const auto all = [&](const std::vector<bool>& flags) {
      return std::all_of(node.inputs.begin(), node.inputs.begin() + static_cast<std::ptrdiff_t>(count),
                         [&](ValueId v) { return flags[slot(v)]; });
    };
    const ValueId v = node.outputs[0];
    given_[slot(v)] = all(given_);
    narrow_[slot(v)] = !given_[slot(v)] && (wanted_[slot(v)] || all(narrow_));
  }

  /// The last of bias, residual and ReLU, in that order, that read nothing but what ends this contraction: devices take
  /// them into its kernel, so only their result is rounded.
  ValueId end_of(const Node& contraction) {
    ValueId tail = contraction.outputs[0];
    if (contraction.op != Op::dot_general && contraction.op != Op::conv_general) return tail;
    enum { bias, residual, relu } next = bias;
    while (users_[slot(tail)].size() == 1 && !is_output_[slot(tail)]) {
      const NodeId n = users_[slot(tail)][0];
      const Node& user = graph_.node(n);
      if (ended_[slot(n)]) break;
      if (user.op == Op::relu) {
        ended_[slot(n)] = true;
        return user.outputs[0];
      }
      if (user.op != Op::add || next == relu || user.inputs[0] == user.inputs[1]) break;
      const ValueId other = user.inputs[user.inputs[0] == tail ? 1 : 0];
      const Node* maker = graph_.producer(other);
      const bool stretched = maker != nullptr && maker->op == Op::broadcast;
      if (stretched && next != bias) break;
      next = stretched ? residual : relu;
      ended_[slot(n)] = true;
      tail = user.outputs[0];
    }
    return tail;
  }

  bool is_worth_storing(const Node& node) const {
    const ValueId v = node.outputs[0];
    return depth_[slot(v)] > 0 && far_[slot(v)] > depth_[slot(v)] && reaches_[slot(v)] && !is_output_[slot(v)] &&
           graph_.type(v).shape.elements() >= kLargeElements && sources_of(node).size() >= kMostSources;
  }

  /// A scalar constant that is 0 or a power of two no narrow type rounds.
  bool is_power_of_two(ValueId v) const {
    const Node* node = graph_.producer(v);
    if (node == nullptr || node->op != Op::constant || node->literal->elements() != 1) return false;
    const double value = std::abs(node->literal->as_double(0));
    int exponent = 0;
    return value == 0 || (std::frexp(value, &exponent) == 0.5 && std::abs(exponent) < kMostExponent);
  }

  /// Whether the node gives elements of narrow values, constants that need no rounding, or products of both.
  bool is_exact(const Node& node) const {
    const auto exact = [&](std::size_t i) { return exact_[slot(node.inputs[i])]; };
    switch (node.op) {
      case Op::select: return exact(1) && exact(2);
      case Op::relu:
      case Op::neg:
      case Op::abs: return exact(0);
      case Op::maximum:
      case Op::minimum: return exact(0) && exact(1);
      case Op::mul: return exact(0) && exact(1) && (is_splat(node.inputs[0]) || is_splat(node.inputs[1]));
      default: return false;
    }
  }
  bool is_splat(ValueId v) const {
    const Node* node = graph_.producer(v);
    return node != nullptr && node->op == Op::broadcast && is_power_of_two(node->inputs[0]);
  }

  /// And several read it, one of them to make what is not exact.
  bool is_exact_and_shared(const Node& node) const {
    const ValueId v = node.outputs[0];
    const auto& users = users_[slot(v)];
    return users.size() > 1 && !is_output_[slot(v)] && reaches_[slot(v)] &&
           graph_.type(v).shape.elements() >= kLargeElements && is_exact(node) &&
           std::any_of(users.begin(), users.end(), [&](NodeId n) {
             const Op op = graph_.node(n).op;
             return op != Op::select && class_of(op) != OpClass::compare && !is_scaling(graph_.node(n));
           });
  }
  bool is_scaling(const Node& node) const {
    return node.op == Op::mul && (is_splat(node.inputs[0]) || is_splat(node.inputs[1]));
  }

  /// Values of the node's size in memory that it follows from, as many as matter.
  std::set<ValueId> sources_of(const Node& node) const {
    std::set<ValueId> all;
    for (const ValueId v : node.inputs) {
      const Node* maker = graph_.producer(v);
      const bool inside = maker != nullptr && (is_pointwise(maker->op) || maker->op == Op::broadcast ||
                                               maker->op == Op::iota || maker->op == Op::constant);
      if (!inside || narrow_[slot(v)])
        all.insert(v);
      else
        all.insert(sources_[slot(v)].begin(), sources_[slot(v)].end());
      if (all.size() >= kMostSources) break;
    }
    return all;
  }

  const Graph& graph_;
  std::vector<std::vector<NodeId>> users_;
  std::vector<bool> is_output_;
  std::vector<bool> wanted_;   ///< a contraction reads it, perhaps moved
  std::vector<bool> reaches_;  ///< a contraction depends on it
  std::vector<bool> narrow_, given_;
  std::vector<bool> exact_;  ///< needs no rounding to become narrow
  std::vector<int> depth_;   ///< contractions on the longest way to it
  std::vector<int> far_;     ///< depth of its deepest reader
  std::vector<std::set<ValueId>> sources_;
  std::vector<bool> ended_;  ///< per node: ends a contraction
};

/// The copy. A value has its wide form, its narrow form, or both; each is made when first asked for.
class Rewriting {
 public:
  Rewriting(const Graph& graph, DType narrow, const TakesNarrow& takes_narrow)
      : graph_(graph),
        type_(narrow),
        takes_narrow_(takes_narrow),
        decided_(graph),
        wide_(graph.values().size(), kNone),
        image_(graph.values().size(), kNone),
        rounded_(graph.values().size(), kNone) {}

  Graph run() {
    for (const GraphInput& i : graph_.inputs())
      wide_[slot(i.value)] = builder_.input(i.name, i.role, graph_.type(i.value));
    for (const Node& node : graph_.nodes()) {
      const ScopedName name(builder_, node.name);
      if (decided_.is_f32_contraction(node))
        contract(node);
      else if ((is_movement(node.op) || chooses_maxima(node.op)) && decided_.is_narrow(node.outputs[0]))
        image_[slot(node.outputs[0])] = moved_image(node);
      else
        copy(node);
    }
    for (const GraphOutput& o : graph_.outputs()) builder_.output(o.name, o.role, wide(o.value));
    return pruned(std::move(builder_).take());
  }

 private:
  ValueId wide(ValueId v) {
    ValueId& made = wide_[slot(v)];
    if (made == kNone) made = builder_.cast(image_[slot(v)], DType::f32);
    return made;
  }

  ValueId image(ValueId v) {
    ValueId& made = image_[slot(v)];
    if (made != kNone) return made;
    const Node* node = graph_.producer(v);
    if (node != nullptr && is_movement(node->op) && decided_.is_given(v)) return made = moved_image(*node);
    return made = builder_.cast(wide(v), type_);
  }

  /// The narrow form, widened.
  ValueId rounded(ValueId v) {
    if (decided_.is_narrow(v)) return wide(v);
    ValueId& made = rounded_[slot(v)];
    if (made == kNone) made = builder_.cast(image(v), DType::f32);
    return made;
  }

  ValueId moved_image(const Node& node) {
    Node moved = node;
    for (ValueId& v : moved.inputs) v = image(v);
    return builder_.append(std::move(moved)).at(0);
  }

  void copy(const Node& node) {
    Node same = node;
    for (ValueId& v : same.inputs) v = wide(v);
    const std::vector<ValueId> results = builder_.append(std::move(same));
    for (std::size_t i = 0; i < results.size(); ++i) set(node.outputs[i], results[i]);
  }

  /// A result in f32.
  void set(ValueId v, ValueId made) {
    if (decided_.is_narrow(v))
      image_[slot(v)] = builder_.cast(made, type_);
    else
      wide_[slot(v)] = made;
  }

  void contract(const Node& node) {
    Node contraction = node;
    const bool narrow_result = decided_.is_narrow(node.outputs[0]);
    const bool narrow = takes_narrow_(node, narrow_result ? type_ : DType::f32);
    const auto [operands, results] = multiplied(node.op);
    for (std::size_t i = 0; i < contraction.inputs.size(); ++i) {
      ValueId& v = contraction.inputs[i];
      v = i >= operands ? wide(v) : narrow ? image(v) : rounded(v);
    }
    if (narrow && !narrow_result) contraction.attributes.set("dtype", DType::f32);
    const std::vector<ValueId> made = builder_.append(std::move(contraction));
    for (std::size_t i = 0; i < made.size(); ++i)
      if (narrow && narrow_result && i < results)
        image_[slot(node.outputs[i])] = made[i];
      else
        set(node.outputs[i], made[i]);
  }

  const Graph& graph_;
  DType type_;
  const TakesNarrow& takes_narrow_;
  Narrowing decided_;
  GraphBuilder builder_;
  std::vector<ValueId> wide_, image_, rounded_;
};

}  // namespace

Multiplied multiplied(Op op) {
  switch (op) {
    case Op::dot_general:
    case Op::conv_general:
    case Op::conv_data_grad:
    case Op::conv_filter_grad: return {2, 1};
    case Op::attention: return {3, 1};
    case Op::attention_grad: return {5, 3};
    default: return {};
  }
}

Graph narrowed(const Graph& graph, DType narrow, const TakesNarrow& takes_narrow) {
  return Rewriting(graph, narrow, takes_narrow).run();
}

bool is_widening(const Graph& graph, const Node& node) {
  if (node.op != Op::cast || graph.type(node.outputs[0]).dtype != DType::f32) return false;
  const DType from = graph.type(node.inputs[0]).dtype;
  return from == DType::f16 || from == DType::bf16;
}

}  // namespace weft
