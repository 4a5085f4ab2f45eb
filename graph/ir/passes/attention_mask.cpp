// Telling triangles and empty masks from others.
#include "graph/ir/passes/attention_mask.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "graph/ir/passes/attention_operands.hpp"

namespace weft::attention {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
// What is that far below other scores of its row has no probability in f32, nor in f64: whether it is added or put.
constexpr double kNever = -9e3;

/// Whether a number of a mask lets a score be, or hides it; neither for others.
enum class Meaning { keeps, hides, changes };

Meaning meaning(double x, bool is_condition) {
  if (is_condition) return x != 0 ? Meaning::keeps : Meaning::hides;
  return x == 0 ? Meaning::keeps : x <= kNever ? Meaning::hides : Meaning::changes;
}

/// A value of the scores' rank as [batch or 1, heads or 1, queries or 1, keys].
ValueId four_dimensional(GraphBuilder& b, ValueId x, const Shape& shape, const Shape& batch, std::int64_t keys) {
  const int rank = shape.rank();
  const std::int64_t rows = shape[rank - 2];
  std::int64_t samples = 1, heads = 1;
  for (int d = 0; d + 2 < rank; ++d) (d + 3 == rank && rank > 3 ? heads : samples) *= shape[d];
  if (rank == 3 && samples == batch[0] * batch[1]) samples = batch[0], heads = batch[1];
  x = b.reshape(x, {samples, heads, rows, shape[rank - 1]});
  return shape[rank - 1] == keys ? x : b.broadcast_to(x, {samples, heads, rows, keys});
}

}  // namespace

bool Mask::depends_on_state(ValueId value) const {
  std::set<ValueId> seen;
  std::vector<ValueId> open{value};
  while (!open.empty()) {
    const ValueId v = open.back();
    open.pop_back();
    if (!is_float(graph_.type(v).dtype) || !seen.insert(v).second) continue;
    if (const Node* node = graph_.producer(v)) {
      open.insert(open.end(), node->inputs.begin(), node->inputs.end());
      continue;
    }
    for (const GraphInput& i : graph_.inputs())
      if (i.value == v && i.role == InputRole::state) return true;
  }
  return false;
}

// A triangle, the same for all batches, or nothing that masks at all.
bool Mask::take_triangle(ValueId value, bool is_condition, double otherwise) {
  const Unbroadcast source = unbroadcast(graph_, value);
  const Shape& whole = graph_.type(value).shape;
  const std::int64_t queries = whole[whole.rank() - 2], keys = whole[whole.rank() - 1];
  if (const auto all = constants_.uniform(source.value)) return meaning(*all, is_condition) == Meaning::keeps;
  const std::optional<Tensor>& t = constants_.value(source.value);
  const std::int64_t each = queries * keys;
  if (!t || t->elements() == 0 || t->elements() % each != 0 || source.shape[whole.rank() - 1] != keys ||
      source.shape[whole.rank() - 2] != queries)
    return false;
  const auto kept = [&](std::int64_t i) { return meaning(t->as_double(i), is_condition) == Meaning::keeps; };
  std::int64_t offset = -1;
  while (offset + 1 < keys && kept(offset + 1)) ++offset;
  bool infinite = !is_condition || otherwise == -kInfinity;
  for (std::int64_t i = 0; i < t->elements(); ++i) {
    const std::int64_t row = i % each / keys, column = i % keys;
    const double x = t->as_double(i);
    const Meaning m = meaning(x, is_condition);
    if (m != (column <= row + offset ? Meaning::keeps : Meaning::hides)) return false;
    if (m == Meaning::hides && !is_condition && x != -kInfinity) infinite = false;
  }
  if (offset + 1 >= keys) return true;  // the first row keeps all, and so do the others
  if (!infinite) {
    finite_.push_back({value, is_condition, offset});
    return true;
  }
  offset_ = causal_ ? std::min(offset, offset_) : offset;
  causal_ = true;
  return true;
}

bool Mask::replaces() const {
  return !replaced_.empty() ||
         std::any_of(finite_.begin(), finite_.end(), [](const Triangle& t) { return t.is_condition; });
}

void Mask::settle() {
  const bool alone = finite_.size() == 1 && !causal_ && biases_.empty() && conditions_.empty() && replaced_.empty();
  if (alone && finite_[0].offset >= 0) {  // every row keeps something, beside which the rest is nothing
    causal_ = true;
    offset_ = finite_[0].offset;
  } else {
    for (const Triangle& t : finite_) (t.is_condition ? replaced_ : biases_).push_back(t.value);
  }
  finite_.clear();
}

bool Mask::add_bias(ValueId value) {
  const Node* node = graph_.producer(unbroadcast(graph_, value).value);
  if (node != nullptr && node->op == Op::select) {
    const auto yes = constants_.uniform(node->inputs[1]), no = constants_.uniform(node->inputs[2]);
    const Shape& shape = graph_.type(node->inputs[0]).shape;
    if (yes && no && *yes == 0 && *no == -kInfinity && shape.rank() == graph_.type(value).shape.rank() &&
        graph_.producer(value) == node)
      return add_condition(node->inputs[0], *no);
  }
  if (replaces()) return false;
  if (take_triangle(value, false, 0)) return true;
  if (depends_on_state(value)) return false;
  biases_.push_back(value);
  return true;
}

bool Mask::add_condition(ValueId condition, double otherwise) {
  if (replaces() && otherwise != otherwise_) return false;
  if (otherwise != -kInfinity) otherwise_ = otherwise;
  if (take_triangle(condition, true, otherwise)) return true;
  (otherwise == -kInfinity ? conditions_ : replaced_).push_back(condition);
  return true;
}

ValueId Mask::operand(GraphBuilder& b, DType type, const Shape& batch,
                      const std::function<ValueId(ValueId)>& moved) const {
  const auto shaped = [&](ValueId v) {
    const Unbroadcast source = unbroadcast(graph_, v);
    const Shape& whole = graph_.type(v).shape;
    return four_dimensional(b, moved(source.value), source.shape, batch, whole[whole.rank() - 1]);
  };
  const auto all_of = [&](const std::vector<ValueId>& conditions) {
    ValueId all = kNone;
    for (const ValueId v : conditions) all = all == kNone ? shaped(v) : b.binary(Op::logical_and, all, shaped(v));
    return all;
  };
  const ValueId kept = all_of(conditions_), unreplaced = all_of(replaced_);
  ValueId bias = kNone;
  for (const ValueId v : biases_) bias = bias == kNone ? b.cast(shaped(v), type) : b.add(bias, b.cast(shaped(v), type));
  if (unreplaced != kNone) {
    const Shape& shape = b.shape(unreplaced);
    const ValueId more = b.select(unreplaced, b.full(type, shape, 0), b.full(type, shape, otherwise_));
    bias = bias == kNone ? more : b.add(bias, more);
  }
  if (bias == kNone || kept == kNone) return bias == kNone ? kept : bias;
  const ValueId hidden = b.select(kept, b.full(type, b.shape(kept), 0), b.full(type, b.shape(kept), -kInfinity));
  return b.add(bias, hidden);
}

}  // namespace weft::attention
