// The scale is a state like any other, so that checkpoints hold it and all ranks agree on it.
#include "graph/training/loss_scaling.hpp"

namespace weft {

LossScaling::LossScaling(GraphBuilder& builder, const LossScaleSpec& spec, std::vector<AddedState>& added)
    : builder_(builder), spec_(spec) {
  scale_ = builder.input(kLossScale, InputRole::state, {DType::f32, {}});
  added.push_back({kLossScale, Tensor::full(DType::f32, {}, spec.initial), StateScope::lasting});
  added.push_back({kLossScaleGoodSteps, Tensor::scalar<std::int64_t>(0), StateScope::lasting});
}

ValueId LossScaling::scaled(ValueId loss) const {
  return builder_.mul(loss, builder_.cast(scale_, builder_.dtype(loss)));
}

void LossScaling::unscale(std::vector<ValueId>& gradients) const {
  const ScopedName name(builder_, "unscale");
  const ValueId factor = builder_.unary(Op::reciprocal, scale_);
  for (ValueId& g : gradients) g = builder_.mul(g, builder_.cast(factor, builder_.dtype(g)));
}

void LossScaling::update(ValueId finite) const {
  const ScopedName name(builder_, kLossScale);
  const auto number = [&](double v) { return builder_.full(DType::f32, {}, v); };
  const auto count = [&](std::int64_t v) { return builder_.full(DType::i64, {}, static_cast<double>(v)); };
  const ValueId good = builder_.add(builder_.input(kLossScaleGoodSteps, InputRole::state, {DType::i64, {}}), count(1));
  const ValueId grows = builder_.binary(Op::greater_equal, good, count(spec_.growth_interval));
  const ValueId doubled = builder_.binary(Op::minimum, builder_.mul(scale_, number(2)), number(kLargestLossScale));
  const ValueId next =
      builder_.select(finite, builder_.select(grows, doubled, scale_), builder_.mul(scale_, number(0.5)));
  const ValueId counts_on = builder_.binary(Op::logical_and, finite, builder_.unary(Op::logical_not, grows));
  builder_.output(kLossScale, OutputRole::state, next);
  builder_.output(kLossScaleGoodSteps, OutputRole::state, builder_.select(counts_on, good, count(0)));
  builder_.output(kUsedLossScale, OutputRole::fetch, scale_);
}

Graph skipping_steps(const Graph& step) {
  GraphBuilder b;
  std::vector<ValueId> arguments;
  for (const GraphInput& i : step.inputs()) arguments.push_back(b.input(i.name, i.role, step.type(i.value)));
  const std::vector<ValueId> results = b.inlined(step, arguments);
  ValueId finite = kNone;
  for (std::size_t i = 0; i < results.size(); ++i)
    if (step.outputs()[i].name == "finite") finite = results[i];
  check_internal(finite != kNone, "a step that may be skipped says whether it is finite");
  for (std::size_t i = 0; i < results.size(); ++i) {
    const GraphOutput& o = step.outputs()[i];
    const bool kept = o.role == OutputRole::state && o.name != kLossScale && o.name != kLossScaleGoodSteps;
    const ScopedName name(b, kept ? "skip " + o.name : "");
    b.output(o.name, o.role, kept ? b.select(finite, results[i], b.graph().find_input(o.name)) : results[i]);
  }
  return std::move(b).take();
}

}  // namespace weft
