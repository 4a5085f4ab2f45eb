// Constants and splats.
#include <algorithm>
#include <cstring>

#include "graph/ir/interpret.hpp"
#include "graph/ir/op_rules.hpp"
#include "graph/ir/passes/simplify_rules.hpp"

namespace weft::simplification {
namespace {

/// Elements that folding may read or write at one node: enough for shape arithmetic and small tables.
constexpr std::int64_t kFoldLimit = 4096;

Node constant_node(Tensor value) { return {Op::constant, {}, {}, {}, {}, std::move(value), {}}; }

ValueId emit_splat(const Site& site, Tensor scalar, const Shape& shape) {
  const ValueId value = site.emit(constant_node(std::move(scalar)));
  if (shape.rank() == 0) return value;
  return site.emit({Op::broadcast, {}, {{"shape", shape.extents()}, {"dims", Dims{}}}, {value}, {}, std::nullopt, {}});
}

/// Whether there is an element and all have its bits.
bool repeats_one_element(const Tensor& t) {
  const std::size_t size = size_of(t.dtype());
  return t.elements() > 0 && std::memcmp(t.data(), t.data() + size, t.bytes() - size) == 0;
}

Tensor first_element(const Tensor& t) {
  Tensor scalar(t.dtype(), Shape{});
  std::memcpy(scalar.mutable_data(), t.data(), size_of(t.dtype()));
  return scalar;
}

/// The type of the node's only result if its operands were of these types.
TensorType result_type(const Node& node, std::span<const TensorType> operands) {
  return rules_of(node.op).infer(node, operands).at(0);
}

TensorType result_type(const Site& site) {
  std::vector<TensorType> operands;
  for (std::size_t i = 0; i < site.node.inputs.size(); ++i) operands.push_back(site.type(i));
  return result_type(site.node, operands);
}

/// All operands' elements, or nothing where one is no splat.
std::optional<std::vector<Tensor>> splats_of(const Site& site) {
  std::vector<Tensor> scalars;
  for (const ValueId v : site.node.inputs) {
    std::optional<Tensor> scalar = splat_of(site.graph, v);
    if (!scalar) return std::nullopt;
    scalars.push_back(std::move(*scalar));
  }
  return scalars;
}

std::optional<ValueId> fold_pointwise_splats(const Site& site, const std::vector<Tensor>& scalars) {
  std::vector<TensorType> types;
  for (const Tensor& t : scalars) types.push_back({t.dtype(), t.shape()});
  const TensorType result = result_type(site.node, types);
  return emit_splat(site, interpret_node(site.node, {result}, scalars).at(0), site.type().shape);
}

/// Operators that interpret quickly. Broadcasts and iotas stay as they are: a kernel makes their elements from nothing.
bool may_fold(const Node& node) {
  if (node.op == Op::broadcast || node.op == Op::top_k || node.op == Op::reorder) return false;
  switch (class_of(node.op)) {
    case OpClass::movement:
    case OpClass::indexing:
    case OpClass::reduction: return true;
    default: return is_pointwise(node.op);
  }
}

/// The value of a constant, or of a splat written out.
std::optional<Tensor> value_of(const Graph& graph, ValueId v) {
  const Node* producer = graph.producer(v);
  if (producer == nullptr) return std::nullopt;
  if (producer->op == Op::constant) return producer->literal;
  const std::optional<Tensor> scalar = splat_of(graph, v);
  if (!scalar) return std::nullopt;
  return interpret_node(*producer, {graph.type(v)}, {*scalar}).at(0);
}

bool is_small(const Site& site) {
  std::int64_t read = 0;
  for (const ValueId v : site.node.inputs) {
    const std::int64_t elements = site.graph.type(v).shape.elements();
    if (elements > kFoldLimit) return false;
    read += elements;
  }
  return read <= kFoldLimit;
}

}  // namespace

std::optional<Tensor> splat_of(const Graph& graph, ValueId v) {
  const Node* producer = graph.producer(v);
  if (producer != nullptr && producer->op == Op::broadcast) producer = graph.producer(producer->inputs[0]);
  if (producer == nullptr || producer->op != Op::constant || producer->literal->shape().rank() != 0)
    return std::nullopt;
  return producer->literal;
}

std::optional<ValueId> recognise_splat(const Site& site) {
  if (site.node.op != Op::constant) return std::nullopt;
  const Tensor& value = *site.node.literal;
  if (value.shape().rank() == 0 || !repeats_one_element(value)) return std::nullopt;
  return emit_splat(site, first_element(value), value.shape());
}

std::optional<ValueId> fold_splats(const Site& site) {
  const Op op = site.node.op;
  const bool pointwise = is_pointwise(op);
  if (!pointwise && (class_of(op) != OpClass::movement || op == Op::broadcast)) return std::nullopt;
  const std::optional<std::vector<Tensor>> scalars = splats_of(site);
  if (!scalars) return std::nullopt;
  if (pointwise) return fold_pointwise_splats(site, *scalars);
  // Of the movements, pad and concat have several operands.
  const bool equal =
      std::all_of(scalars->begin(), scalars->end(), [&](const Tensor& t) { return t.identical(scalars->front()); });
  return equal ? std::optional(emit_splat(site, scalars->front(), result_type(site).shape)) : std::nullopt;
}

std::optional<ValueId> fold_constants(const Site& site) {
  if (!may_fold(site.node) || !is_small(site)) return std::nullopt;
  std::vector<Tensor> operands;
  bool writes_out_splat = false;
  for (const ValueId v : site.node.inputs) {
    std::optional<Tensor> value = value_of(site.graph, v);
    if (!value) return std::nullopt;
    writes_out_splat = writes_out_splat || site.graph.producer(v)->op == Op::broadcast;
    operands.push_back(std::move(*value));
  }
  const TensorType type = result_type(site);
  if (type.shape.elements() > kFoldLimit) return std::nullopt;
  Tensor result = interpret_node(site.node, {type}, operands).at(0);
  if (writes_out_splat && !repeats_one_element(result)) return std::nullopt;
  return site.emit(constant_node(std::move(result)));
}

}  // namespace weft::simplification
