// Dynamic loss scaling (Micikevicius et al., "Mixed Precision Training", ICLR 2018): gradients in f16 are those of a
// multiple of the loss, so that small ones are not lost; when one overflows, the step is skipped and the multiple
// halved.
#pragma once

#include <vector>

#include "graph/training/optimizer.hpp"
#include "weft/job.hpp"

namespace weft {

inline constexpr const char* kLossScale = "loss_scale";                      ///< f32 state: of the next step
inline constexpr const char* kUsedLossScale = "used_loss_scale";             ///< f32 fetch: of this step
inline constexpr const char* kLossScaleGoodSteps = "loss_scale_good_steps";  ///< i64 state: since the scale changed
/// A scale that halves down to this helps nobody: even tiny multiples of the gradients are not finite.
inline constexpr double kSmallestLossScale = 1.0 / 65536;
inline constexpr double kLargestLossScale = 1.8446744073709552e19;  ///< 2^64

class LossScaling {
 public:
  /// Adds the states that a pass reads, and to `added` those of the step.
  LossScaling(GraphBuilder& builder, const LossScaleSpec& spec, std::vector<AddedState>& added);

  ValueId scaled(ValueId loss) const;
  void unscale(std::vector<ValueId>& gradients) const;
  /// The scale of the next step: half of this one's if the step is not `finite`, twice after growth_interval finite
  /// steps.
  void update(ValueId finite) const;

 private:
  GraphBuilder& builder_;
  const LossScaleSpec& spec_;
  ValueId scale_ = kNone;
};

/// `step` with all its states but those of the loss scale kept as they are where its fetch "finite" is false.
Graph skipping_steps(const Graph& step);

}  // namespace weft
