// Masks of attention, as recognition finds them. Internal to the pass.
#pragma once

#include <functional>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/ir/passes/constant_values.hpp"

namespace weft::attention {

/// What masks scores of shape [batch..., queries, keys].
class Mask {
 public:
  Mask(const Graph& graph, ConstantValues& constants) : graph_(graph), constants_(constants) {}

  // Masks are told from the softmax back to the product. What scores are where they are masked matters in rows that
  // all masks together hide whole: these are not empty but for -infinity. False where the operand cannot say it.

  /// `value`, of the scores' shape, is added to them. False where it may be trained, too.
  bool add_bias(ValueId value);
  /// Scores are kept where `condition` is true, and `otherwise`, next to -infinity, elsewhere.
  bool add_condition(ValueId condition, double otherwise);
  /// All have been told. A triangle that hides by a finite number is causal where it is the only mask.
  void settle();

  bool causal() const { return causal_; }
  std::int64_t offset() const { return offset_; }

  /// The operand of attention, kNone where there is none: [batch or 1, heads or 1, queries or 1, keys] of `type` or
  /// booleans, in `builder`, where `moved(v)` is v. `batch`: extents of the scores' batch dimensions, as two.
  ValueId operand(GraphBuilder& builder, DType type, const Shape& batch,
                  const std::function<ValueId(ValueId)>& moved) const;

 private:
  struct Triangle {
    ValueId value = kNone;
    bool is_condition = false;
    std::int64_t offset = 0;  ///< row i keeps the first i + 1 + offset
  };
  bool take_triangle(ValueId value, bool is_condition, double otherwise);
  bool replaces() const;  ///< some scores become a finite number, whatever masks them below
  bool depends_on_state(ValueId value) const;

  const Graph& graph_;
  ConstantValues& constants_;
  std::vector<ValueId> biases_, conditions_;
  std::vector<ValueId> replaced_;  ///< conditions: where one is false, scores are `otherwise_`, a finite number
  double otherwise_ = 0;
  std::vector<Triangle> finite_;  ///< that hide by less than -infinity, until settled
  bool causal_ = false;
  std::int64_t offset_ = 0;
};

}  // namespace weft::attention
