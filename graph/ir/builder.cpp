// Node construction, elementwise broadcasting, movement and reductions.
#include "graph/ir/builder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "graph/ir/op_rules.hpp"
#include "weft/error.hpp"

namespace weft {

std::vector<ValueId> GraphBuilder::append(Node node) {
  std::vector<TensorType> operands;
  operands.reserve(node.inputs.size());
  for (const ValueId v : node.inputs) {
    check_internal(v >= 0 && v < static_cast<ValueId>(graph_.values().size()),
                   fmt::format("operand {} of a new {} node does not exist", v, name_of(node.op)));
    operands.push_back(graph_.type(v));
  }
  if (node.name.empty()) node.name = name_;
  std::vector<TensorType> results;
  try {
    results = rules_of(node.op).infer(node, operands);
  } catch (UserError& e) {
    if (!node.name.empty()) e.add_context(fmt::format("node '{}'", node.name));
    throw;
  }
  const NodeId id = graph_.append(node.op, std::move(node.inputs), std::move(node.attributes), std::move(results),
                                  std::move(node.name));
  Node& made = graph_.node(id);
  made.literal = std::move(node.literal);
  made.bodies = std::move(node.bodies);
  return made.outputs;
}

std::vector<ValueId> GraphBuilder::node(Op op, std::vector<ValueId> inputs, Attributes attributes) {
  return append({op, {}, std::move(attributes), std::move(inputs), {}, std::nullopt, {}});
}

std::vector<ValueId> GraphBuilder::control(Op op, std::vector<ValueId> inputs, std::vector<Graph> bodies) {
  return append({op, {}, {}, std::move(inputs), {}, std::nullopt, std::move(bodies)});
}

ValueId GraphBuilder::constant(Tensor value) {
  return append({Op::constant, {}, {}, {}, {}, std::move(value), {}}).front();
}

ValueId GraphBuilder::full(DType type, const Shape& shape, double value) {
  return broadcast_to(constant(Tensor::full(type, Shape{}, value)), shape);
}

ValueId GraphBuilder::iota(DType type, const Shape& shape, int axis) {
  return one(Op::iota, {}, {{"dtype", type}, {"shape", shape.extents()}, {"axis", std::int64_t{axis}}});
}

namespace {

/// NumPy's broadcast shape of several operands, in the words of the node that wants it.
Shape common_shape(const GraphBuilder& builder, Op op, const std::string& name, std::initializer_list<ValueId> values) {
  Shape shape;
  try {
    for (const ValueId v : values) shape = broadcast_shapes(shape, builder.shape(v));
  } catch (UserError& e) {
    std::string types;
    for (const ValueId v : values) types += (types.empty() ? "" : ", ") + builder.type(v).str();
    e.add_context(
        fmt::format("{}operator {} of operands ({})", name.empty() ? "" : "node '" + name + "', ", name_of(op), types));
    throw;
  }
  return shape;
}

}  // namespace

ValueId GraphBuilder::binary(Op op, ValueId x, ValueId y) {
  const Shape shape = common_shape(*this, op, name_, {x, y});
  return one(op, {broadcast_to(x, shape), broadcast_to(y, shape)});
}

ValueId GraphBuilder::select(ValueId condition, ValueId x, ValueId y) {
  const Shape shape = common_shape(*this, Op::select, name_, {condition, x, y});
  return one(Op::select, {broadcast_to(condition, shape), broadcast_to(x, shape), broadcast_to(y, shape)});
}

ValueId GraphBuilder::cast(ValueId x, DType type) {
  return dtype(x) == type ? x : one(Op::cast, {x}, {{"dtype", type}});
}

ValueId GraphBuilder::reshape(ValueId x, const Shape& shape) {
  return this->shape(x) == shape ? x : one(Op::reshape, {x}, {{"shape", shape.extents()}});
}

ValueId GraphBuilder::transpose(ValueId x, Dims order) {
  return one(Op::transpose, {x}, {{"order", std::move(order)}});
}

ValueId GraphBuilder::broadcast_to(ValueId x, const Shape& shape) {
  const Shape& from = this->shape(x);
  if (from == shape) return x;
  Dims dims(from.extents().size());
  std::iota(dims.begin(), dims.end(), std::int64_t{shape.rank() - from.rank()});
  return broadcast_in(x, shape, std::move(dims));
}

ValueId GraphBuilder::broadcast_in(ValueId x, const Shape& shape, Dims dims) {
  return one(Op::broadcast, {x}, {{"shape", shape.extents()}, {"dims", std::move(dims)}});
}

ValueId GraphBuilder::slice(ValueId x, Dims start, Dims limit, Dims stride) {
  return one(Op::slice, {x}, {{"start", std::move(start)}, {"limit", std::move(limit)}, {"stride", std::move(stride)}});
}

ValueId GraphBuilder::pad(ValueId x, ValueId value, Dims low, Dims high, Dims interior) {
  return one(Op::pad, {x, value},
             {{"low", std::move(low)}, {"high", std::move(high)}, {"interior", std::move(interior)}});
}

ValueId GraphBuilder::concat(std::vector<ValueId> parts, int axis) {
  return one(Op::concat, std::move(parts), {{"axis", std::int64_t{axis}}});
}

ValueId GraphBuilder::reduce(Op op, ValueId x, Dims dims, bool keep) {
  const Shape from = shape(x);
  const ValueId reduced = one(op, {x}, {{"dims", dims}});
  if (!keep) return reduced;
  Dims kept = from.extents();
  for (const std::int64_t d : dims) kept[static_cast<std::size_t>(d)] = 1;
  return reshape(reduced, Shape(std::move(kept)));
}

ValueId GraphBuilder::reduce_all(Op op, ValueId x) {
  Dims all(static_cast<std::size_t>(shape(x).rank()));
  std::iota(all.begin(), all.end(), 0);
  return reduce(op, x, std::move(all));
}

ValueId GraphBuilder::mean(ValueId x, Dims dims, bool keep) {
  double count = 1;
  for (const std::int64_t d : dims)
    if (d >= 0 && d < shape(x).rank()) count *= static_cast<double>(shape(x)[static_cast<int>(d)]);
  const ValueId sum = reduce(Op::reduce_sum, wide(x), std::move(dims), keep);
  return cast(div(sum, like(sum, count)), dtype(x));
}

ValueId GraphBuilder::wide(ValueId x) {
  return dtype(x) == DType::f16 || dtype(x) == DType::bf16 ? cast(x, DType::f32) : x;
}

std::vector<ValueId> GraphBuilder::inlined(const Graph& other, const std::vector<ValueId>& arguments) {
  check_internal(arguments.size() == other.inputs().size(), "GraphBuilder::inlined: one argument for each input");
  std::vector<ValueId> mapped(other.values().size(), kNone);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const ValueId input = other.inputs()[i].value;
    if (type(arguments[i]) != other.type(input))
      throw InternalError(fmt::format("GraphBuilder::inlined: input '{}' is {} and its argument {}",
                                      other.inputs()[i].name, other.type(input).str(), type(arguments[i]).str()));
    mapped[static_cast<std::size_t>(input)] = arguments[i];
  }
  for (const Node& node : other.nodes()) {
    Node copy = node;
    for (ValueId& v : copy.inputs) v = mapped[static_cast<std::size_t>(v)];
    const std::vector<ValueId> results = append(std::move(copy));
    for (std::size_t i = 0; i < results.size(); ++i) mapped[static_cast<std::size_t>(node.outputs[i])] = results[i];
  }
  std::vector<ValueId> outputs;
  for (const GraphOutput& o : other.outputs()) outputs.push_back(mapped[static_cast<std::size_t>(o.value)]);
  return outputs;
}

}  // namespace weft
