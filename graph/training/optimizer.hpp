// Optimisers: one parameter's update as graph. Names, defaults and formulas are PyTorch's; LAMB is You et al., ICLR
// 2020 (algorithm 2, identity as phi), LARS is You et al., 2017 (algorithm 1).
#pragma once

#include <string>
#include <vector>

#include "graph/ir/builder.hpp"
#include "weft/job.hpp"
#include "weft/state.hpp"

namespace weft {

/// A state that the training step adds to the model's, and its value before the first step.
struct AddedState {
  std::string name;
  InitialValue initial;
  StateScope scope = StateScope::lasting;  ///< transient: sums between the passes of one step
};

/// What all parameters' updates share in one step.
struct UpdateClock {
  ValueId learning_rate = kNone;  ///< f64 scalar
  ValueId step = kNone;           ///< f64 scalar, 1 in the first step
};

/// Throws UserError on an unknown optimiser and on hyperparameters out of their range.
void check_optimizer(const OptimizerSpec& spec);

/// Appends the update of parameter `name` (value and gradient of one floating type), writes it and the optimiser's own
/// states "optimizer/SLOT/NAME" as state outputs, and adds those states to `added`. The first of spec.groups whose
/// pattern matches `name` overrides learning rate and weight decay.
void append_update(GraphBuilder& builder, const OptimizerSpec& spec, const std::string& name, ValueId value,
                   ValueId gradient, const UpdateClock& clock, std::vector<AddedState>& added);

}  // namespace weft
