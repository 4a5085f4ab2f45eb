// The reverse sweep: from the seeds back along floating paths that reach what is asked for.
#include "graph/ir/autodiff.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "graph/ir/gradient_sums.hpp"
#include "graph/ir/op_rules.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

/// Which values depend on `wrt` through floats: only their producers take part.
std::vector<bool> reached_from(const Graph& graph, const std::vector<ValueId>& wrt) {
  std::vector<bool> reached(graph.values().size(), false);
  for (const ValueId v : wrt) reached[static_cast<std::size_t>(v)] = true;
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::stop_gradient) continue;
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId v) { return reached[static_cast<std::size_t>(v)]; });
    for (const ValueId v : node.outputs)
      if (any && is_float(graph.type(v).dtype)) reached[static_cast<std::size_t>(v)] = true;
  }
  return reached;
}

/// For a composite without a gradient of its own: that of its decomposition, copied in.
std::vector<ValueId> through_decomposition(const GradientContext& c, DecomposeRule decompose) {
  GraphBuilder inner;
  Node copy = c.node;
  copy.inputs.clear();
  for (const ValueId v : c.node.inputs)
    copy.inputs.push_back(inner.input(fmt::format("{}", copy.inputs.size()), InputRole::feed, c.builder.type(v)));
  const std::vector<ValueId> results = decompose(inner, copy);
  std::vector<ValueId> values, seeds, wrt, arguments = c.node.inputs;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (c.result_grads[i] == kNone) continue;
    values.push_back(results[i]);
    seeds.push_back(inner.input(fmt::format("d{}", i), InputRole::feed, inner.type(results[i])));
    arguments.push_back(c.result_grads[i]);
  }
  for (std::size_t i = 0; i < copy.inputs.size(); ++i)
    if (c.wanted[i]) wrt.push_back(copy.inputs[i]);
  for (const ValueId g : vector_jacobian(inner, values, seeds, wrt)) inner.output("", OutputRole::fetch, g);
  const std::vector<ValueId> inlined = c.builder.inlined(inner.graph(), arguments);
  std::vector<ValueId> grads(copy.inputs.size(), kNone);
  for (std::size_t i = 0, next = 0; i < grads.size(); ++i)
    if (c.wanted[i]) grads[i] = inlined[next++];
  return grads;
}

/// The inference forms have other operands and results than their operators' gradient rules read.
bool is_inference_form(const Node& node) {
  return (node.op == Op::batch_norm && node.inputs.size() == 5) || (node.op == Op::dropout && node.inputs.size() == 1);
}

/// Attention's own gradient is that of its first result, by its first three operands.
bool beyond_own_gradient(const GradientContext& c) {
  return c.node.op == Op::attention &&
         (c.grad(1) != kNone || c.grad(2) != kNone || (c.node.inputs.size() > 3 && c.wanted[3]));
}

std::vector<ValueId> operand_gradients(const GradientContext& c) {
  const OpRules& rules = rules_of(c.node.op);
  if (rules.gradient != nullptr && !is_inference_form(c.node) && !beyond_own_gradient(c)) return rules.gradient(c);
  if (rules.decompose != nullptr) return through_decomposition(c, rules.decompose);
  throw UserError(fmt::format(
      "node '{}': operator {} has no gradient, and the loss depends on trained values through it; freeze what lies "
      "before it, or put the loss elsewhere",
      c.node.name, name_of(c.node.op)));
}

std::string gradient_name(const std::string& name) {
  return name.empty() || name.starts_with("grad of ") ? name : "grad of " + name;
}

/// Gradients of values by id, as the sweep finds them.
class Sweep {
 public:
  Sweep(GraphBuilder& builder, const std::vector<ValueId>& wrt)
      : builder_(builder),
        reached_(reached_from(builder.graph(), wrt)),
        grads_(builder.graph().values().size(), kNone) {}

  ValueId grad(ValueId v) const { return grads_[static_cast<std::size_t>(v)]; }
  void contribute(ValueId v, ValueId grad) {
    ValueId& sum = grads_[static_cast<std::size_t>(v)];
    sum = sum == kNone ? grad : sum_of_gradients(builder_, sum, grad);
  }
  void pass(const Node& node) {
    std::vector<ValueId> result_grads;
    for (const ValueId v : node.outputs) result_grads.push_back(reached(v) ? grad(v) : kNone);
    if (std::all_of(result_grads.begin(), result_grads.end(), [](ValueId v) { return v == kNone; })) return;
    const std::size_t count = node.inputs.size();
    const auto wanted = std::make_unique<bool[]>(count);
    for (std::size_t i = 0; i < count; ++i) wanted[i] = reached(node.inputs[i]);
    const ScopedName name(builder_, gradient_name(node.name));
    const std::vector<ValueId> grads =
        operand_gradients({builder_, node, result_grads, std::span<const bool>(wanted.get(), count)});
    for (std::size_t i = 0; i < count; ++i)
      if (wanted[i] && grads[i] != kNone) contribute(node.inputs[i], grads[i]);
  }

 private:
  bool reached(ValueId v) const { return reached_[static_cast<std::size_t>(v)]; }

  GraphBuilder& builder_;
  std::vector<bool> reached_;
  std::vector<ValueId> grads_;
};

}  // namespace

std::vector<ValueId> vector_jacobian(GraphBuilder& builder, const std::vector<ValueId>& values,
                                     const std::vector<ValueId>& seeds, const std::vector<ValueId>& wrt) {
  check_internal(values.size() == seeds.size(), "vector_jacobian: one seed for each value");
  for (const ValueId v : wrt)
    check_internal(is_float(builder.dtype(v)), "vector_jacobian: a gradient with respect to integers was asked for");
  const auto last = static_cast<NodeId>(builder.graph().nodes().size()) - 1;
  Sweep sweep(builder, wrt);
  for (std::size_t i = 0; i < values.size(); ++i) sweep.contribute(values[i], seeds[i]);
  for (NodeId id = last; id >= 0; --id) sweep.pass(builder.graph().node(id));
  std::vector<ValueId> result;
  for (const ValueId v : wrt) result.push_back(sweep.grad(v) == kNone ? builder.like(v, 0) : sweep.grad(v));
  return result;
}

std::vector<ValueId> gradients(GraphBuilder& builder, ValueId loss, const std::vector<ValueId>& wrt) {
  if (!is_float(builder.dtype(loss)) || builder.shape(loss).rank() != 0)
    throw UserError(fmt::format("the loss must be a floating-point scalar, not {}", builder.type(loss).str()));
  return vector_jacobian(builder, {loss}, {builder.like(loss, 1)}, wrt);
}

}  // namespace weft
