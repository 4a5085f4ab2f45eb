// The rewrite of inference forms, node by node.
#include "graph/training/forward.hpp"

#include <fmt/format.h>

#include <functional>

#include "graph/training/name_patterns.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

bool is_inference_batch_norm(const Node& node) { return node.op == Op::batch_norm && node.inputs.size() == 5; }
bool is_inference_dropout(const Node& node) { return node.op == Op::dropout && node.inputs.size() == 1; }

/// The name of the state that a value is, or "".
std::string state_name(const Graph& graph, ValueId id) {
  if (graph.value(id).producer != kNone) return {};
  for (const GraphInput& i : graph.inputs())
    if (i.value == id && i.role == InputRole::state) return i.name;
  return {};
}

std::string shown(const Node& node) { return fmt::format("{} node '{}'", name_of(node.op), node.name); }

/// A value [C] laid along dimension `axis` of `shape`.
ValueId along(GraphBuilder& b, ValueId channel, const Shape& shape, std::int64_t axis) {
  return b.broadcast_in(channel, shape, {axis});
}

/// x * (scale / sqrt(variance + epsilon)) + (bias - mean * that).
ValueId normalise_with(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0], mean = node.inputs[3], variance = node.inputs[4];
  const Shape shape = b.shape(x);
  const std::int64_t axis = node.attributes.integer("axis");
  const ValueId shifted = b.add(variance, b.like(variance, node.attributes.number("epsilon")));
  const ValueId factor = b.mul(node.inputs[1], b.unary(Op::rsqrt, shifted));
  const ValueId offset = b.sub(node.inputs[2], b.mul(mean, factor));
  return b.add(b.mul(x, along(b, factor, shape, axis)), along(b, offset, shape, axis));
}

using Rewrite = std::function<std::vector<ValueId>(GraphBuilder&, const Node& original, const Node& mapped)>;

/// Copies `forward` in; `rewrite` returns a node's results, or none to have it copied.
std::vector<ValueId> append_rewritten(GraphBuilder& b, const Graph& forward, const std::vector<ValueId>& arguments,
                                      const Rewrite& rewrite) {
  check_internal(arguments.size() == forward.inputs().size(), "append_rewritten: one argument for each input");
  std::vector<ValueId> mapped(forward.values().size(), kNone);
  for (std::size_t i = 0; i < arguments.size(); ++i)
    mapped[static_cast<std::size_t>(forward.inputs()[i].value)] = arguments[i];
  for (const Node& original : forward.nodes()) {
    Node node = original;
    for (ValueId& v : node.inputs) v = mapped[static_cast<std::size_t>(v)];
    const ScopedName scope(b, original.name);
    std::vector<ValueId> results = rewrite(b, original, node);
    if (results.empty()) results = b.append(std::move(node));
    for (std::size_t i = 0; i < original.outputs.size(); ++i)
      mapped[static_cast<std::size_t>(original.outputs[i])] = results[i];
  }
  std::vector<ValueId> outputs;
  for (const GraphOutput& o : forward.outputs()) outputs.push_back(mapped[static_cast<std::size_t>(o.value)]);
  return outputs;
}

void refuse_in_bodies(const Graph& body, const Node& owner) {
  for (const Node& node : body.nodes()) {
    if (is_inference_batch_norm(node) || is_inference_dropout(node))
      throw UserError(
          fmt::format("{} is inside {}: batch normalisation and dropout cannot be trained inside control "
                      "flow; make the branch static or move it out",
                      shown(node), shown(owner)));
    for (const Graph& inner : node.bodies) refuse_in_bodies(inner, owner);
  }
}

/// Where a dropout's samples lie: the dimension, and how many of its indices belong to one sample.
struct SampleDimension {
  std::int64_t dimension = -1;
  std::int64_t per_sample = 1;
};

/// `resized` is the shape of the same value with `resized_samples` samples.
SampleDimension differing_dimension(const Shape& shape, std::int64_t samples, const Shape& resized,
                                    std::int64_t resized_samples) {
  for (int d = 0; d < shape.rank() && shape.rank() == resized.rank(); ++d)
    if (shape[d] != resized[d] && shape[d] * resized_samples == resized[d] * samples && shape[d] % samples == 0)
      return {d, shape[d] / samples};
  return {};
}

SampleDimension find_sample_dimension(const Shape& shape, std::int64_t samples) {
  if (shape.rank() == 0 || samples == 0) return {};
  if (shape[0] == samples) return {0, 1};
  if (samples > 1)
    for (int d = 1; d < shape.rank(); ++d)
      if (shape[d] == samples) return {d, 1};
  if (shape[0] % samples == 0 && shape[0] > 0) return {0, shape[0] / samples};  // samples and positions flattened
  return {};
}

/// Dropout number `index` of a graph.
const Node* inference_dropout(const Graph& graph, int index) {
  for (const Node& node : graph.nodes())
    if (is_inference_dropout(node) && index-- == 0) return &node;
  return nullptr;
}

/// Stable under changes elsewhere in the model as long as names and the order of dropouts stay: FNV-1a of both.
std::int64_t stable_id(const std::string& name, int index) {
  std::uint32_t hash = 2166136261u;
  const auto mix = [&](unsigned char byte) { hash = (hash ^ byte) * 16777619u; };
  for (const char c : name) mix(static_cast<unsigned char>(c));
  for (int shift = 0; shift < 32; shift += 8) mix(static_cast<unsigned char>(static_cast<unsigned>(index) >> shift));
  return hash;
}

ValueId active_dropout(GraphBuilder& b, const Node& node, const TrainingForm& form, int index) {
  const Shape& shape = b.shape(node.inputs[0]);
  const Node* resized = form.resized != nullptr ? inference_dropout(*form.resized, index) : nullptr;
  const SampleDimension where =
      resized == nullptr ? find_sample_dimension(shape, form.samples)
                         : differing_dimension(shape, form.samples, form.resized->type(resized->inputs[0]).shape,
                                               form.resized_samples);
  ValueId offset = form.random.sample_offset;
  if (where.per_sample != 1) offset = b.mul(offset, b.like(offset, static_cast<double>(where.per_sample)));
  return b.one(Op::dropout, {node.inputs[0], form.random.seed, form.random.step, offset},
               {{"ratio", node.attributes.number("ratio")},
                {"id", stable_id(node.name, index)},
                {"sample_dim", where.dimension}});
}

BatchNormSite trained_batch_norm(GraphBuilder& b, const Graph& forward, const Node& original, const Node& node,
                                 const TrainingForm& form, ValueId& y) {
  const Shape shape = b.shape(node.inputs[0]);
  const std::int64_t axis = node.attributes.integer("axis");
  if (shape[0] != form.samples)
    throw UserError(fmt::format("{}: its input {} does not have the {} samples of the pass as its first dimension",
                                shown(node), shape.str(), form.samples));
  BatchNormSite site;
  site.name = node.name;
  site.mean_state = state_name(forward, original.inputs[3]);
  site.variance_state = state_name(forward, original.inputs[4]);
  site.momentum = node.attributes.number("momentum");
  site.groups = form.samples / form.batch_norm_group;
  site.group_elements = form.batch_norm_group;
  for (int d = 1; d < shape.rank(); ++d)
    if (d != axis) site.group_elements *= shape[d];
  if (site.mean_state.empty() || site.variance_state.empty())
    throw UserError(
        fmt::format("{}: its running statistics are computed in the model, so training cannot update them; "
                    "freeze: its scale keeps it as it is",
                    shown(node)));
  const std::vector<ValueId> results =
      b.node(Op::batch_norm, {node.inputs[0], node.inputs[1], node.inputs[2]},
             {{"axis", axis}, {"epsilon", node.attributes.number("epsilon")}, {"groups", site.groups}});
  y = results[0];
  site.mean = results[1];
  site.variance = results[2];
  return site;
}

}  // namespace

bool trains_statistics(const Graph& forward, const Node& node, const std::vector<std::string>& freeze) {
  if (!is_inference_batch_norm(node)) return false;
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    const std::string name = state_name(forward, node.inputs[i]);
    if (!name.empty() && matches_any(freeze, name)) return false;
  }
  return true;
}

std::vector<std::string> trained_statistics(const Graph& forward, const std::vector<std::string>& freeze) {
  std::vector<std::string> names;
  for (const Node& node : forward.nodes()) {
    if (!trains_statistics(forward, node, freeze)) continue;
    for (const std::size_t i : {3, 4}) names.push_back(state_name(forward, node.inputs[i]));
  }
  return names;
}

bool has_dropout(const Graph& forward) {
  for (const Node& node : forward.nodes())
    if (is_inference_dropout(node)) return true;
  return false;
}

ForwardValues append_training_forward(GraphBuilder& builder, const Graph& forward,
                                      const std::vector<ValueId>& arguments, const TrainingForm& form) {
  ForwardValues values;
  int dropouts = 0;
  const Rewrite rewrite = [&](GraphBuilder& b, const Node& original, const Node& node) -> std::vector<ValueId> {
    for (const Graph& body : node.bodies) refuse_in_bodies(body, node);
    if (is_inference_dropout(node)) return {active_dropout(b, node, form, dropouts++)};
    if (!is_inference_batch_norm(node)) return {};
    if (!trains_statistics(forward, original, *form.freeze)) return {normalise_with(b, node)};
    ValueId y = kNone;
    values.batch_norms.push_back(trained_batch_norm(b, forward, original, node, form, y));
    return {y};
  };
  values.outputs = append_rewritten(builder, forward, arguments, rewrite);
  return values;
}

ForwardValues append_inference_forward(GraphBuilder& builder, const Graph& forward,
                                       const std::vector<ValueId>& arguments) {
  const Rewrite rewrite = [](GraphBuilder& b, const Node&, const Node& node) -> std::vector<ValueId> {
    if (is_inference_dropout(node)) return {node.inputs[0]};
    if (is_inference_batch_norm(node)) return {normalise_with(b, node)};
    if (node.bodies.empty()) return {};
    Node copy = node;
    for (Graph& body : copy.bodies) body = inference_graph(body);
    return b.append(std::move(copy));
  };
  return {append_rewritten(builder, forward, arguments, rewrite), {}};
}

Graph inference_graph(const Graph& forward) {
  GraphBuilder builder;
  std::vector<ValueId> arguments;
  for (const GraphInput& i : forward.inputs())
    arguments.push_back(builder.input(i.name, i.role, forward.type(i.value)));
  const ForwardValues values = append_inference_forward(builder, forward, arguments);
  for (std::size_t i = 0; i < values.outputs.size(); ++i)
    builder.output(forward.outputs()[i].name, forward.outputs()[i].role, values.outputs[i]);
  return std::move(builder).take();
}

}  // namespace weft
