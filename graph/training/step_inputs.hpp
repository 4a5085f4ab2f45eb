// The inputs that training and evaluation graphs have in common.
#pragma once

#include <vector>

#include "graph/training/loss.hpp"
#include "graph/training/parameters.hpp"

namespace weft {

/// Adds the model's feeds and states (tied states once) and the feed "target"; returns the forward graph's arguments.
/// Throws UserError where the model uses a name that the step needs for itself.
struct StepInputs {
  std::vector<ValueId> arguments;
  ValueId target = kNone;  ///< kNone where the model computes its own loss
};
StepInputs add_step_inputs(GraphBuilder& builder, const Graph& forward, const Parameters& parameters,
                           const LossTarget& about);

/// The value of the model output that the loss reads, among the values of its outputs.
ValueId loss_output(const Graph& forward, const LossTarget& about, const std::vector<ValueId>& outputs);

}  // namespace weft
