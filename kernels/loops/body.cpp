// From body nodes to values over a space.
#include "kernels/loops/body.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weft::loops {
namespace {

constexpr int kMostRank = 32;
constexpr std::size_t kMostValues = 1024;
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

bool is_row_reduction(Op op) {
  return op == Op::reduce_sum || op == Op::reduce_max || op == Op::reduce_min || op == Op::reduce_prod ||
         op == Op::moments;
}

Space::Space(const Graph& body) : body_(body) {
  if (body.outputs().empty()) {
    refuse("no result");
    return;
  }
  choose_space();
  if (shape_.rank() > kMostRank) {
    refuse(fmt::format("rank {}: at most {} is supported", shape_.rank(), kMostRank));
    return;
  }
  read_outputs();
}

int Space::refuse(std::string why) {
  if (refusal_.empty()) refusal_ = std::move(why);
  return 0;
}

void Space::choose_space() {
  shape_ = body_.type(body_.outputs()[0].value).shape;
  for (const GraphOutput& o : body_.outputs())
    if (const Shape& s = body_.type(o.value).shape; s.elements() > shape_.elements()) shape_ = s;
  reduced_.assign(shape_.extents().size(), false);
  for (const Node& node : body_.nodes()) {
    if (!is_row_reduction(node.op)) continue;
    shape_ = body_.type(node.inputs[0]).shape;
    reduced_.assign(shape_.extents().size(), false);
    for (const std::int64_t d : node.attributes.integers("dims")) reduced_[static_cast<std::size_t>(d)] = true;
    if (shape_.elements() == 0) refuse("a reduction of nothing");
    return;
  }
}

bool Space::map_output(const Shape& shape, SpaceOutput& output) const {
  DimMap identity, kept_map;
  Dims kept;
  for (int d = 0; d < shape_.rank(); ++d) {
    identity.push_back(d);
    if (!reduced(d)) kept.push_back(shape_[d]), kept_map.push_back(d);
  }
  output.full = unit_reshape(shape, shape_, identity, output.map);
  return output.full || unit_reshape(shape, Shape(kept), kept_map, output.map);
}

void Space::read_outputs() {
  for (const GraphOutput& o : body_.outputs()) {
    SpaceOutput output;
    output.value = o.value;
    if (!map_output(body_.type(o.value).shape, output)) {
      refuse("a result that is neither a row nor one value a row");
      return;
    }
    output.of = value(o.value, output.map);
    if (!refusal_.empty()) return;
    if (!output.full && values_[static_cast<std::size_t>(output.of)].varies) {
      refuse("one value a row that differs along the row");
      return;
    }
    outputs_.push_back(std::move(output));
  }
}

bool Space::varies(const DimMap& map) const {
  return std::any_of(map.begin(), map.end(), [&](int d) { return d >= 0 && reduced(d); });
}

int Space::add(SpaceValue v) {
  if (values_.size() >= kMostValues) return refuse(fmt::format("more than {} values", kMostValues));
  values_.push_back(std::move(v));
  return static_cast<int>(values_.size()) - 1;
}

int Space::value(ValueId id, const DimMap& map) {
  const std::pair<ValueId, DimMap> key{id, map};
  if (const auto it = known_.find(key); it != known_.end()) return it->second;
  if (!refusal_.empty()) return 0;
  if (++depth_ > kMostDepth) return refuse("operations nested too deeply");
  const int made = make(id, map);
  --depth_;
  if (refusal_.empty()) known_[key] = made;
  return made;
}

int Space::make(ValueId id, const DimMap& map) {
  const Node* node = body_.producer(id);
  if (node == nullptr) return operand(id, map);
  const TensorType& type = body_.type(id);
  switch (node->op) {
    case Op::constant:
      if (node->literal->elements() != 1) return refuse("a constant of more than one element");
      return add({ValueKind::constant, type.dtype, node});
    case Op::iota: {
      const auto axis = static_cast<std::size_t>(node->attributes.integer("axis"));
      SpaceValue v{ValueKind::iota, type.dtype, node};
      v.index = static_cast<int>(iotas_.size());
      v.varies = map[axis] >= 0 && reduced(map[axis]);
      iotas_.push_back({map[axis]});
      return add(std::move(v));
    }
    case Op::broadcast: {
      const Shape& shape = body_.type(node->inputs[0]).shape;
      const Dims& dims = node->attributes.integers("dims");
      DimMap inner(dims.size(), -1);
      for (std::size_t i = 0; i < dims.size(); ++i)
        if (shape[static_cast<int>(i)] != 1) inner[i] = map[static_cast<std::size_t>(dims[i])];
      return value(node->inputs[0], inner);
    }
    case Op::reshape: {
      DimMap inner;
      if (!unit_reshape(body_.type(node->inputs[0]).shape, type.shape, map, inner))
        return refuse("a reshape that does more than add or drop extents of 1");
      return value(node->inputs[0], inner);
    }
    default: break;
  }
  if (is_row_reduction(node->op)) return reduction(*node, id, map);
  if (!is_pointwise(node->op)) return refuse(fmt::format("{} is not pointwise", name_of(node->op)));
  return pointwise(*node, id, map);
}

int Space::operand(ValueId id, const DimMap& map) {
  for (std::size_t i = 0; i < body_.inputs().size(); ++i)
    if (body_.inputs()[i].value == id) {
      SpaceValue v{ValueKind::operand, body_.type(id).dtype};
      v.index = static_cast<int>(operands_.size());
      v.varies = varies(map);
      operands_.push_back({i, id, map, body_.type(id).shape.elements() == shape_.elements()});
      return add(std::move(v));
    }
  return refuse("a value that nothing makes");
}

int Space::pointwise(const Node& node, ValueId id, const DimMap& map) {
  SpaceValue v{ValueKind::pointwise, body_.type(id).dtype, &node};
  for (const ValueId in : node.inputs) {
    v.args.push_back(value(in, map));
    if (!refusal_.empty()) return 0;
    const SpaceValue& arg = values_[static_cast<std::size_t>(v.args.back())];
    v.stage = std::max(v.stage, arg.stage);
    v.varies = v.varies || arg.varies;
  }
  return add(std::move(v));
}

int Space::reduction(const Node& node, ValueId id, const DimMap& map) {
  const Shape& shape = body_.type(node.inputs[0]).shape;
  const Dims& dims = node.attributes.integers("dims");
  DimMap inner(shape.extents().size(), -1);
  std::vector<bool> covered(reduced_.size(), false);
  std::size_t kept = 0;
  int next = 0;  // reduced dimensions of the space, in order
  for (int d = 0; d < shape.rank(); ++d) {
    int& to = inner[static_cast<std::size_t>(d)];
    if (std::find(dims.begin(), dims.end(), d) == dims.end()) {
      to = map[kept++];
    } else if (shape[d] != 1) {
      while (next < shape_.rank() && (!reduced(next) || shape_[next] == 1)) ++next;
      if (next == shape_.rank() || shape_[next] != shape[d]) return refuse("reductions over different rows");
      to = next++;
    }
    if (to >= 0) covered[static_cast<std::size_t>(to)] = true;
  }
  for (int d = 0; d < shape_.rank(); ++d)
    if (shape_[d] != 1 && !covered[static_cast<std::size_t>(d)]) return refuse("reductions over different rows");
  const DType type = body_.type(node.outputs[0]).dtype;
  if (node.op == Op::moments && type != DType::f32) return refuse("moments of other than f32");
  if (type == DType::boolean) return refuse("a reduction of booleans");
  const auto [at, added] = known_reductions_.try_emplace(&node, static_cast<int>(reductions_.size()));
  if (added) {
    const int operand_value = value(node.inputs[0], inner);
    if (!refusal_.empty()) return 0;
    const int stage = values_[static_cast<std::size_t>(operand_value)].stage;
    at->second = static_cast<int>(reductions_.size());
    reductions_.push_back({node.op, type, operand_value, stage});
    stages_ = std::max(stages_, stage + 1);
  }
  const auto index = at->second;
  SpaceValue v{ValueKind::reduction, type, &node};
  v.index = index;
  v.result = body_.value(id).result;
  v.stage = reductions_[static_cast<std::size_t>(index)].stage + 1;
  return add(std::move(v));
}

}  // namespace weft::loops
