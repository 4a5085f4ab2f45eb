// Sums over the passes of one optimiser step, kept as states between them.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "graph/ir/builder.hpp"
#include "graph/training/optimizer.hpp"
#include "graph/training/training_step.hpp"
#include "weft/error.hpp"

namespace weft {

class Accumulator {
 public:
  Accumulator(GraphBuilder& builder, Pass pass, std::vector<AddedState>& added)
      : builder_(builder), pass_(pass), added_(added) {}

  /// Whether this pass ends its step: totals exist.
  bool ends_step() const { return pass_ == Pass::only || pass_ == Pass::last; }
  bool starts_step() const { return pass_ == Pass::only || pass_ == Pass::first; }

  /// Adds this pass's `value` to state "accumulate/NAME". Returns the total over the step in a pass that ends it, else
  /// kNone.
  ValueId total(const std::string& name, ValueId value) {
    if (pass_ == Pass::only) return value;
    const std::string state = "accumulate/" + name;
    if (builder_.graph().find_input(state) != kNone)
      throw UserError(
          fmt::format("gradient accumulation: two sums of a step would be called '{}'; rename the model's tensor '{}'",
                      state, name));
    const TensorType type = builder_.type(value);
    added_.push_back({state, InitialValue::zeros(type.dtype, type.shape), StateScope::transient});
    const ValueId before = builder_.input(state, InputRole::state, type);
    const ValueId sum = pass_ == Pass::first ? value : builder_.add(before, value);
    if (pass_ == Pass::last) return sum;
    builder_.output(state, OutputRole::state, sum);
    return kNone;
  }

 private:
  GraphBuilder& builder_;
  Pass pass_;
  std::vector<AddedState>& added_;
};

}  // namespace weft
