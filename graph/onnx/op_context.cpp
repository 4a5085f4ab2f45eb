// Operands, attributes and known values of a node under import.
#include "graph/onnx/op_context.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "graph/ir/interpret.hpp"
#include "graph/onnx/importer.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

// Larger results are not shape arithmetic: they stay in the graph.
constexpr std::int64_t kLargestConstant = std::int64_t{1} << 22;
// Steps for all values of a model together.
constexpr std::int64_t kMostComputed = std::int64_t{1} << 26;

}  // namespace

const Tensor* ConstantFinder::find_known(ValueId id) {
  if (const auto it = known_.find(id); it != known_.end()) return &it->second;
  const auto given = given_.find(id);
  return given == given_.end() ? nullptr : &known_.emplace(id, given->second.value()).first->second;
}

/// Every value is looked at once, for its producers never change.
bool ConstantFinder::computable(ValueId id) {
  std::vector<ValueId> pending = {id};
  while (!pending.empty()) {
    const ValueId v = pending.back();
    if (computable_.count(v) != 0) {
      pending.pop_back();
      continue;
    }
    const Node* node = builder_.graph().producer(v);
    bool yes = has(v), waiting = false;
    if (!yes && node != nullptr && node->bodies.empty() && node->op != Op::random_bits && node->op != Op::dropout &&
        builder_.type(v).shape.elements() <= kLargestConstant) {
      yes = true;
      for (const ValueId input : node->inputs)
        if (const auto it = computable_.find(input); it == computable_.end())
          pending.push_back(input), waiting = true;
        else
          yes = yes && it->second;
    }
    if (waiting) continue;
    computable_[v] = yes;
    pending.pop_back();
  }
  return computable_.at(id);
}

/// Steps by which all values are computed that this one needs; no more than it takes to see that they are too many.
std::int64_t ConstantFinder::cost(ValueId id) const {
  std::int64_t steps = 0;
  std::vector<ValueId> pending = {id};
  std::set<ValueId> seen;
  while (!pending.empty() && steps <= kMostComputed) {
    const ValueId v = pending.back();
    pending.pop_back();
    if (!seen.insert(v).second || has(v)) continue;
    const Node& node = *builder_.graph().producer(v);
    steps = std::min(kMostComputed + 1, steps + std::min(kMostComputed + 1, steps_of(builder_.graph(), node)));
    pending.insert(pending.end(), node.inputs.begin(), node.inputs.end());
  }
  return steps;
}

void ConstantFinder::compute(ValueId id) {
  // An explicit stack: chains of shape arithmetic can be as long as the model.
  std::vector<ValueId> pending = {id};
  while (!pending.empty()) {
    const ValueId v = pending.back();
    if (has(v)) {
      pending.pop_back();
      continue;
    }
    const Node& node = *builder_.graph().producer(v);
    if (node.literal) {
      known_[v] = *node.literal;
      continue;
    }
    bool ready = true;
    for (const ValueId input : node.inputs)
      if (!has(input)) pending.push_back(input), ready = false;
    if (!ready) continue;
    std::vector<Tensor> operands;
    for (const ValueId input : node.inputs) operands.push_back(*find_known(input));
    std::vector<TensorType> types;
    for (const ValueId output : node.outputs) types.push_back(builder_.type(output));
    std::vector<Tensor> results = interpret_node(node, types, operands);
    for (std::size_t i = 0; i < results.size(); ++i) known_[node.outputs[i]] = std::move(results[i]);
  }
}

const Tensor* ConstantFinder::find(ValueId id) {
  if (const Tensor* known = find_known(id)) return known;
  if (!computable(id)) return nullptr;
  const std::int64_t steps = cost(id);
  if (steps > kMostComputed - computed_) {
    computable_[id] = false;
    return nullptr;
  }
  computed_ += steps;
  compute(id);
  return find_known(id);
}

std::set<std::string> ConstantFinder::open_inputs(ValueId id) const {
  std::set<std::string> open;
  std::vector<ValueId> pending = {id};
  std::set<ValueId> seen;
  while (!pending.empty()) {
    const ValueId v = pending.back();
    pending.pop_back();
    if (!seen.insert(v).second || has(v)) continue;
    if (const Node* node = builder_.graph().producer(v)) {
      pending.insert(pending.end(), node->inputs.begin(), node->inputs.end());
    } else {
      for (const GraphInput& input : builder_.graph().inputs())
        if (input.value == v) open.insert(input.name);
    }
  }
  return open;
}

ValueId OpContext::any(int i) const {
  if (!has(i)) throw Unsupported(fmt::format("operand {} is required but left out", i));
  return operands_[static_cast<std::size_t>(i)];
}

ValueId OpContext::in(int i) const {
  const ValueId id = any(i);
  if (!is_tensor(id)) throw Unsupported(fmt::format("operand {} is a sequence where a tensor is expected", i));
  return id;
}

Tensor OpContext::constant(int i, const std::string& what) { return known(in(i), what); }

Tensor OpContext::known(ValueId id, const std::string& what) {
  if (const Tensor* value = constants_.find(id)) return *value;
  const std::set<std::string> open = constants_.open_inputs(id);
  if (open.empty())
    throw Unsupported(
        fmt::format("{} is computed in a way that is not known on import, or from too many numbers", what));
  throw NeedsConstants(open, fmt::format("{} must be known on import, but depends on the values of input{} {}", what,
                                         open.size() > 1 ? "s" : "", fmt::join(open, ", ")));
}

Dims OpContext::constant_dims(int i, const std::string& what) {
  const Tensor value = constant(i, what);
  if (value.shape().rank() > 1 || !is_integer(value.dtype()))
    throw Unsupported(
        fmt::format("{} must be a list of integers, not {}{}", what, name_of(value.dtype()), value.shape().str()));
  Dims dims;
  for (std::int64_t e = 0; e < value.elements(); ++e) dims.push_back(value.as_int(e));
  return dims;
}

std::int64_t OpContext::constant_int(int i, const std::string& what) {
  const Tensor value = constant(i, what);
  if (value.elements() != 1) throw Unsupported(what + " must be one number");
  return value.as_int(0);
}

bool OpContext::wants(int output) const { return importer_.is_read(node_, output); }

const pb::AttributeProto* OpContext::find(const std::string& name) const {
  for (const auto& attribute : node_.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

namespace {

void check_kind(const pb::AttributeProto& attribute, bool right, const char* kind) {
  if (!right) throw Unsupported(fmt::format("attribute '{}' should be {}", attribute.name(), kind));
}

}  // namespace

std::int64_t OpContext::integer(const std::string& name, std::int64_t otherwise) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr) return otherwise;
  check_kind(*a, a->has_i() || a->type() == pb::AttributeProto::INT, "an integer");
  return a->i();
}

double OpContext::number(const std::string& name, double otherwise) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr) return otherwise;
  check_kind(*a, a->has_f() || a->type() == pb::AttributeProto::FLOAT, "a number");
  return a->f();
}

std::string OpContext::text(const std::string& name, const std::string& otherwise) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr) return otherwise;
  check_kind(*a, a->has_s() || a->type() == pb::AttributeProto::STRING, "a text");
  return a->s();
}

Dims OpContext::integers(const std::string& name, Dims otherwise) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr) return otherwise;
  return {a->ints().begin(), a->ints().end()};
}

std::vector<double> OpContext::numbers(const std::string& name) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr) return {};
  return {a->floats().begin(), a->floats().end()};
}

std::vector<std::string> OpContext::texts(const std::string& name) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr) return {};
  return {a->strings().begin(), a->strings().end()};
}

std::optional<Tensor> OpContext::tensor(const std::string& name) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr) return std::nullopt;
  check_kind(*a, a->has_t(), "a tensor");
  return importer_.literal(a->t(), "attribute '" + name + "'");
}

const pb::GraphProto& OpContext::graph(const std::string& name) const {
  const pb::AttributeProto* a = find(name);
  if (a == nullptr || !a->has_g()) throw Unsupported("attribute '" + name + "' should be a graph");
  return a->g();
}

std::optional<Dims> OpContext::axes_argument(const std::string& attribute, int i, std::int64_t since) {
  if (version_ >= since) {
    if (!has(i)) return std::nullopt;
    return constant_dims(i, "operand '" + attribute + "'");
  }
  if (!has_attribute(attribute)) return std::nullopt;
  return integers(attribute);
}

}  // namespace weft::onnx
