// Inputs of a step.
#include "graph/training/step_inputs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <map>
#include <string_view>

#include "weft/error.hpp"

namespace weft {
namespace {

bool is_one_of(const std::string& name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Inputs and outputs of a step are found by name: the model's may not have those of the step's own.
void check_name(const GraphInput& input) {
  const std::string& name = input.name;
  const bool step_input = is_one_of(name, {"target", "step", "seed", "sample_offset", "rank_sample_offset"}) ||
                          name.starts_with("optimizer/") || name.starts_with("accumulate/");
  const bool step_fetch =
      input.role == InputRole::state &&
      is_one_of(name, {"loss", "lr", "grad_norm", "finite", "accuracy", "top5", "perplexity", "mean_error"});
  if (step_input || step_fetch)
    throw UserError(
        fmt::format("the model has an input or tensor named '{}', a name that training uses itself; rename "
                    "it in the model",
                    name));
}

}  // namespace

StepInputs add_step_inputs(GraphBuilder& builder, const Graph& forward, const Parameters& parameters,
                           const LossTarget& about) {
  StepInputs result;
  std::map<std::string, ValueId> states;
  for (const GraphInput& i : forward.inputs()) {
    check_name(i);
    if (i.role != InputRole::state) {
      result.arguments.push_back(builder.input(i.name, i.role, forward.type(i.value)));
      continue;
    }
    const std::string& holder = parameters.holder(i.name);
    const auto found = states.find(holder);
    const ValueId value =
        found != states.end() ? found->second : builder.input(holder, InputRole::state, forward.type(i.value));
    states.emplace(holder, value);
    result.arguments.push_back(value);
  }
  if (about.target) result.target = builder.input("target", InputRole::feed, *about.target);
  return result;
}

ValueId loss_output(const Graph& forward, const LossTarget& about, const std::vector<ValueId>& outputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (forward.outputs()[i].role == OutputRole::fetch && forward.outputs()[i].name == about.output) return outputs[i];
  throw InternalError("loss_output: the output that the loss reads is gone");
}

}  // namespace weft
