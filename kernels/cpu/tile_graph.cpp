// From body nodes to registers and steps.
#include "kernels/cpu/tile_graph.hpp"

#include <fmt/format.h>

#include "kernels/cpu/scalar_ops.hpp"

namespace weft::cpu {
namespace {

constexpr int kMostRank = 32;
constexpr int kMostSteps = 256;
constexpr int kMostDepth = 512;

/// The map of a reshape's operand when only extents of 1 come and go; false otherwise.
bool unit_reshape(const Shape& from, const Shape& to, const DimMap& to_map, DimMap& from_map) {
  from_map.assign(static_cast<std::size_t>(from.rank()), -1);
  int t = 0;
  for (int f = 0; f < from.rank(); ++f) {
    if (from[f] == 1) continue;
    while (t < to.rank() && to[t] == 1) ++t;
    if (t == to.rank() || to[t] != from[f]) return false;
    from_map[static_cast<std::size_t>(f)] = to_map[static_cast<std::size_t>(t++)];
  }
  while (t < to.rank() && to[t] == 1) ++t;
  return t == to.rank();
}

}  // namespace

TileGraph::TileGraph(const Graph& body, const std::vector<ValueId>& roots, const Shape& space, const TileOps& ops)
    : body_(body), ops_(ops), space_(space) {
  if (space.rank() > kMostRank) {
    refuse(fmt::format("rank {}: at most {} is supported", space.rank(), kMostRank));
    return;
  }
  DimMap identity;
  for (int d = 0; d < space.rank(); ++d) identity.push_back(d);
  for (const ValueId root : roots) {
    if (body.type(root).shape != space) {
      refuse("results of several shapes");
      return;
    }
    roots_.push_back(value(root, identity));
    if (!refusal_.empty()) return;
  }
}

bool TileGraph::is_full(const TileOperand& operand) const {
  const Shape& shape = body_.type(operand.value).shape;
  return shape.elements() == space_.elements();
}

int TileGraph::refuse(std::string why) {
  if (refusal_.empty()) refusal_ = std::move(why);
  return 0;
}

int TileGraph::add(TileRegister reg) {
  registers_.push_back(std::move(reg));
  return static_cast<int>(registers_.size()) - 1;
}

int TileGraph::step(TileFn fn, DType type, std::vector<int> in) {
  const int out = add({RegisterKind::step, type, -1, {}});
  TileStep s{fn, out, {-1, -1, -1}, static_cast<int>(in.size())};
  std::copy(in.begin(), in.end(), s.in);
  steps_.push_back(s);
  if (steps_.size() > kMostSteps) refuse(fmt::format("more than {} operations", kMostSteps));
  return out;
}

int TileGraph::value(ValueId id, const DimMap& map) {
  const Key key{id, map};
  if (const auto it = known_.find(key); it != known_.end()) return it->second;
  if (!refusal_.empty()) return 0;
  if (++depth_ > kMostDepth) return refuse("operations nested too deeply");
  const int reg = make(id, map);
  --depth_;
  known_[key] = reg;
  return reg;
}

int TileGraph::make(ValueId id, const DimMap& map) {
  const Node* node = body_.producer(id);
  if (node == nullptr) return operand(id, map);
  const TensorType& type = body_.type(id);
  switch (node->op) {
    case Op::constant: {
      if (node->literal->elements() != 1) return refuse("a constant of more than one element");
      const DType held = compute_type(type.dtype);
      return add({RegisterKind::constant, type.dtype, -1, node->literal->cast(held)});
    }
    case Op::iota: {
      const auto axis = static_cast<std::size_t>(node->attributes.integer("axis"));
      iotas_.push_back({map[axis]});
      return rounded(add({RegisterKind::iota, type.dtype, static_cast<int>(iotas_.size()) - 1, {}}));
    }
    case Op::broadcast: {
      const ValueId from = node->inputs[0];
      const Shape& shape = body_.type(from).shape;
      const Dims& dims = node->attributes.integers("dims");
      DimMap inner(dims.size(), -1);
      for (std::size_t i = 0; i < dims.size(); ++i)
        if (shape[static_cast<int>(i)] != 1) inner[i] = map[static_cast<std::size_t>(dims[i])];
      return value(from, inner);
    }
    case Op::reshape: {
      const ValueId from = node->inputs[0];
      DimMap inner;
      if (!unit_reshape(body_.type(from).shape, type.shape, map, inner))
        return refuse("a reshape that does more than add or drop extents of 1");
      return value(from, inner);
    }
    default: break;
  }
  if (!is_pointwise(node->op)) return refuse(fmt::format("{} is not pointwise", name_of(node->op)));
  return computed(*node, map);
}

int TileGraph::operand(ValueId id, const DimMap& map) {
  for (std::size_t i = 0; i < body_.inputs().size(); ++i)
    if (body_.inputs()[i].value == id) {
      operands_.push_back({i, id, map});
      return add({RegisterKind::operand, body_.type(id).dtype, static_cast<int>(operands_.size()) - 1, {}});
    }
  return refuse("a value that nothing makes");
}

int TileGraph::rounded(int reg) {
  const DType type = registers_[static_cast<std::size_t>(reg)].type;
  if (type == DType::bf16) return step(ops_.round_bf16, type, {reg});
  if (type == DType::f16) return step(scalar_round(type), type, {reg});
  return reg;
}

int TileGraph::cast(int from, DType to) {
  const DType type = registers_[static_cast<std::size_t>(from)].type;
  const DType held_from = compute_type(type), held_to = compute_type(to);
  if (type == to) return from;
  if (held_from == DType::f32 && held_to == DType::f32) {
    // A register knows its value's type, so even a widening is a step of its own (a copy, in the first-level cache).
    if (to == DType::f32) return step(ops_.unary_f32[static_cast<int>(Op::stop_gradient)], to, {from});
    return step(to == DType::bf16 ? ops_.round_bf16 : scalar_round(to), to, {from});
  }
  const bool mask = held_from == DType::boolean && held_to == DType::f32;
  return rounded(step(mask ? ops_.bool_to_f32 : scalar_cast(held_from, held_to), to, {from}));
}

TileFn TileGraph::function_of(const Node& node, DType type) const {
  const auto at = static_cast<int>(node.op);
  const bool f32 = compute_type(type) == DType::f32;
  const auto prefer = [&](const TileFn* fast, TileFn slow) { return f32 && fast[at] != nullptr ? fast[at] : slow; };
  switch (class_of(node.op)) {
    case OpClass::binary: return prefer(ops_.binary_f32, scalar_binary(node.op, type));
    case OpClass::compare: return prefer(ops_.compare_f32, scalar_compare(node.op, type));
    case OpClass::ternary: return f32 ? ops_.select_f32 : scalar_select(compute_type(type));
    default: break;
  }
  const bool approximate = node.op == Op::gelu && node.attributes.text("approximate") == "tanh";
  if (approximate && f32) return ops_.gelu_tanh_f32;
  return prefer(ops_.unary_f32, scalar_unary(node.op, type, approximate));
}

int TileGraph::computed(const Node& node, const DimMap& map) {
  std::vector<int> in;
  for (const ValueId v : node.inputs) {
    in.push_back(value(v, map));
    if (!refusal_.empty()) return 0;
  }
  const DType result = body_.type(node.outputs[0]).dtype;
  if (node.op == Op::cast) return cast(in[0], result);
  if (node.op == Op::stop_gradient) return in[0];
  const DType type = body_.type(node.inputs.back()).dtype;
  const TileFn fn = function_of(node, type);
  if (fn == nullptr) return refuse(fmt::format("{} of {} is not supported", name_of(node.op), name_of(type)));
  return rounded(step(fn, result, in));
}

}  // namespace weft::cpu
