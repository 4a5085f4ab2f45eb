// Masks of attention, as recognition finds them. Internal to the pass.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/constant_values.hpp"

namespace weft::attention {

/// What masks scores of shape [batch..., queries, keys].
class Mask {
 public:
  Mask(const Graph& graph, ConstantValues& constants) : graph_(graph), constants_(constants) {}

  /// `value`, of the scores' shape, is added to them. False where it may be trained.
  bool add_bias(ValueId value);
  /// Scores are kept where `condition` is true, and `otherwise`, next to -infinity, elsewhere. False where a triangle
  /// hides all of a row by less than -infinity.
  bool add_condition(ValueId condition, double otherwise);

  bool causal() const { return causal_; }
  std::int64_t offset() const { return offset_; }

  /// The operand of attention, kNone where there is none: [batch or 1, heads or 1, queries or 1, keys] of `type` or
  /// booleans, in `builder`, where `moved(v)` is v. `batch`: extents of the scores' batch dimensions, as two.
  ValueId operand(GraphBuilder& builder, DType type, const Shape& batch,
                  const std::function<ValueId(ValueId)>& moved) const;

 private:
  bool take_causal(ValueId value, bool is_condition);
  bool depends_on_state(ValueId value) const;

  const Graph& graph_;
  ConstantValues& constants_;
  std::vector<ValueId> biases_, conditions_;
  std::vector<std::pair<ValueId, double>> replaced_;  ///< conditions, and what scores are where they are false
  bool causal_ = false;
  std::int64_t offset_ = 0;
};

}  // namespace weft::attention
