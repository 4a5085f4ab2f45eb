// The training step, part by part.
#include "graph/training/training_step.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "graph/ir/autodiff.hpp"
#include "graph/training/accumulator.hpp"
#include "graph/training/batch_norm_group.hpp"
#include "graph/training/forward.hpp"
#include "graph/training/gradient_clip.hpp"
#include "graph/training/loss.hpp"
#include "graph/training/loss_scaling.hpp"
#include "graph/training/metrics.hpp"
#include "graph/training/name_patterns.hpp"
#include "graph/training/step_inputs.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

class StepBuilder {
 public:
  StepBuilder(const Model& model, const JobSpec& job, const StepShape& shape)
      : model_(model), job_(job), shape_(shape), sums_(b_, shape.pass, result_.added) {}

  TrainingGraph build() {
    check();
    parameters_ = choose_parameters(model_, job_, trained_statistics(model_.forward, job_.freeze));
    about_ = find_loss_target(model_.forward, job_.loss, shape_.target_sample, shape_.pass_samples);
    const StepInputs inputs = add_step_inputs(b_, model_.forward, parameters_, about_);
    add_clock();
    if (job_.precision == DType::f16) scaling_.emplace(b_, job_.loss_scale, result_.added);
    const ForwardValues forward = append_forward(inputs);
    const ValueId output = loss_output(model_.forward, about_, forward.outputs);
    const LossSum loss = append_loss(b_, job_.loss, about_, output, inputs.target, shape_.pass_samples);
    choose_trained(loss.sum);
    std::vector<ValueId> grads = step_gradients(loss);
    update_statistics(forward.batch_norms);
    fetch_metrics({job_.loss, about_, output, inputs.target, shape_.pass_samples});
    if (sums_.ends_step()) finish_step(grads);
    return take();
  }

 private:
  void check() const {
    const StepShape& s = shape_;
    check_optimizer(job_.optimizer);
    check_internal(s.pass_samples > 0 && s.step_samples >= s.pass_samples,
                   "a pass has at least one sample of its step");
    check_internal(s.pass != Pass::only || s.pass_samples == s.step_samples, "the only pass sees the whole step");
  }

  void add_clock() {
    step_ = b_.input("step", InputRole::state, {DType::i64, {}});
    result_.added.push_back({"step", Tensor::scalar<std::int64_t>(0), StateScope::lasting});
  }

  ForwardValues append_forward(const StepInputs& inputs) {
    TrainingForm form;
    form.samples = shape_.pass_samples;
    if (shape_.resized) {
      form.resized = shape_.resized->forward;
      form.resized_samples = shape_.resized->samples;
    }
    form.freeze = &job_.freeze;
    if (!trained_statistics(model_.forward, job_.freeze).empty()) {
      form.batch_norm_group = batch_norm_group(job_, shape_.step_samples);
      check_groups_whole(shape_.pass_samples, shape_.step_samples, form.batch_norm_group);
      result_.batch_norm_group = form.batch_norm_group;
    }
    result_.added.push_back({"seed", Tensor::scalar<std::int64_t>(job_.seed), StateScope::lasting});
    form.random.seed = b_.input("seed", InputRole::state, {DType::i64, {}});
    form.random.step = b_.add(step_, b_.full(DType::i64, {}, 1));
    form.random.sample_offset = b_.input("sample_offset", InputRole::scalar, {DType::i64, {}});
    return append_training_forward(b_, model_.forward, inputs.arguments, form);
  }

  /// Parameters that the loss does not depend on have no gradient and are left alone, as in PyTorch.
  void choose_trained(ValueId loss) {
    std::vector<bool> reaches(b_.graph().values().size(), false);
    reaches[static_cast<std::size_t>(loss)] = true;
    const auto& nodes = b_.graph().nodes();
    for (std::size_t n = nodes.size(); n-- > 0;) {
      const bool used = std::any_of(nodes[n].outputs.begin(), nodes[n].outputs.end(),
                                    [&](ValueId v) { return reaches[static_cast<std::size_t>(v)]; });
      if (used)
        for (const ValueId v : nodes[n].inputs) reaches[static_cast<std::size_t>(v)] = true;
    }
    for (const std::string& name : parameters_.trained) {
      const ValueId value = b_.graph().find_input(name);
      if (value == kNone || !reaches[static_cast<std::size_t>(value)]) continue;
      result_.trained.push_back(name);
      values_.push_back(value);
    }
    if (result_.trained.empty())
      throw UserError(
          "nothing to train: no parameter of the model that is not frozen reaches the loss; see train: and "
          "freeze: in the job, and 'weft inspect MODEL.onnx'");
  }

  /// This pass's gradients of the step's mean loss; in the pass that ends the step, those of the whole step.
  std::vector<ValueId> step_gradients(const LossSum& loss) {
    const DType type = b_.dtype(loss.sum);
    const auto number = [&](double v) { return b_.full(type, {}, v); };
    const ValueId total = sums_.total("sum/loss", loss.sum);
    std::vector<ValueId> grads;
    ValueId divisor = kNone;
    if (loss.counted == kNone) {
      divisor = number(static_cast<double>(loss.count_per_sample * shape_.step_samples));
      grads = gradients(b_, scaled(b_.div(loss.sum, divisor)), values_);
    } else {  // how many labels count is known only when all passes are done
      const ValueId counted = sums_.total("sum/loss_count", loss.counted);
      if (sums_.ends_step()) divisor = b_.cast(counted, type);
      const bool whole = shape_.pass == Pass::only;
      const ValueId scale = whole ? divisor : number(static_cast<double>(shape_.step_samples));
      grads = gradients(b_, scaled(b_.div(loss.sum, scale)), values_);
    }
    for (std::size_t i = 0; i < grads.size(); ++i) grads[i] = sums_.total(result_.trained[i], grads[i]);
    if (!sums_.ends_step()) return {};
    if (loss.counted != kNone && shape_.pass != Pass::only) {
      const ValueId factor = b_.div(number(static_cast<double>(shape_.step_samples)), divisor);
      for (ValueId& g : grads) g = b_.mul(g, b_.cast(factor, b_.dtype(g)));
    }
    if (scaling_) scaling_->unscale(grads);
    loss_ = b_.div(total, divisor);
    b_.output("loss", OutputRole::fetch, b_.cast(loss_, DType::f32));
    return grads;
  }

  ValueId scaled(ValueId loss) const { return scaling_ ? scaling_->scaled(loss) : loss; }

  /// running <- momentum * running + (1 - momentum) * mean over groups; variances unbiased.
  void update_statistics(const std::vector<BatchNormSite>& sites) {
    std::map<std::string, ValueId> running;
    std::map<std::string, int> uses;
    const auto update = [&](const BatchNormSite& site, const std::string& state, ValueId of_groups, double factor) {
      const int use = uses[state]++;  // a batch norm applied twice updates twice
      const ValueId sum = b_.reduce(Op::reduce_sum, of_groups, {0});
      const ValueId total = sums_.total(use == 0 ? state : fmt::format("{}#{}", state, use), sum);
      if (!sums_.ends_step()) return;
      const double groups = static_cast<double>(shape_.step_samples / result_.batch_norm_group);
      const ValueId fresh = b_.mul(total, b_.full(b_.dtype(total), {}, factor * (1 - site.momentum) / groups));
      const ValueId old = use == 0 ? b_.graph().find_input(state) : running.at(state);
      running[state] = b_.add(b_.mul(old, b_.full(b_.dtype(old), {}, site.momentum)), fresh);
    };
    for (const BatchNormSite& site : sites) {
      const ScopedName scope(b_, site.name + " running statistics");
      const double n = static_cast<double>(site.group_elements);
      update(site, site.mean_state, site.mean, 1);
      update(site, site.variance_state, site.variance, n / std::max(n - 1, 1.0));
    }
    for (const auto& [state, value] : running) b_.output(state, OutputRole::state, value);
  }

  void fetch_metrics(const MetricInputs& inputs) {
    std::set<std::string> seen;
    for (const std::string& name : job_.metrics)
      if (!seen.insert(name).second) throw UserError(fmt::format("metric '{}' is listed twice", name));
    for (const MetricSum& metric : append_metrics(b_, job_.metrics, inputs)) {
      const ScopedName scope(b_, "metric/" + metric.name);
      const ValueId sum = sums_.total("sum/" + metric.name, metric.terms.sum);
      ValueId count = metric.terms.counted;
      if (count != kNone) count = sums_.total("sum/" + metric.name + "_count", count);
      if (!sums_.ends_step()) continue;
      count = count != kNone ? b_.cast(count, b_.dtype(sum))
                             : b_.full(b_.dtype(sum), {},
                                       static_cast<double>(metric.terms.count_per_sample * shape_.step_samples));
      const ValueId mean = b_.div(sum, count);
      const ValueId value = metric.exponential ? b_.unary(Op::exp, mean) : mean;
      b_.output(metric.name, OutputRole::fetch, b_.cast(value, DType::f32));
    }
  }

  void finish_step(std::vector<ValueId>& grads) {
    const ValueId norm = global_norm(b_, grads);
    if (job_.optimizer.clip_norm > 0) clip_by_norm(b_, grads, norm, job_.optimizer.clip_norm);
    if (job_.optimizer.clip_value > 0) clip_by_value(b_, grads, job_.optimizer.clip_value);
    ValueId rate = kNone, next = kNone;
    {
      const ScopedName scope(b_, "schedule");
      rate = learning_rate(b_, job_.optimizer.lr, job_.schedule, shape_.run, step_);
      next = b_.add(step_, b_.full(DType::i64, {}, 1));
    }
    b_.output("step", OutputRole::state, next);
    const UpdateClock clock{rate, b_.cast(next, DType::f64)};
    check_parameter_groups();
    for (std::size_t i = 0; i < grads.size(); ++i)
      append_update(b_, spec_of(result_.trained[i]), result_.trained[i], values_[i], grads[i], clock, result_.added);
    b_.output("lr", OutputRole::fetch, rate);
    b_.output("grad_norm", OutputRole::fetch, b_.cast(norm, DType::f32));
    const ValueId finite = b_.binary(Op::logical_and, is_finite(b_, loss_), is_finite(b_, norm));
    b_.output("finite", OutputRole::fetch, finite);
    if (scaling_) scaling_->update(finite);
  }

  /// The optimiser of one parameter. A group that matches any of the names that are tied together is theirs.
  OptimizerSpec spec_of(const std::string& trained) const {
    OptimizerSpec spec = job_.optimizer;
    const auto applies = [&](const ParameterGroup& group) {
      return std::any_of(model_.states.begin(), model_.states.end(), [&](const ModelState& s) {
        return parameters_.holder(s.name) == trained && matches(group.pattern, s.name);
      });
    };
    const auto first = std::find_if(spec.groups.begin(), spec.groups.end(), applies);
    spec.groups = first == spec.groups.end() ? std::vector<ParameterGroup>{} : std::vector<ParameterGroup>{*first};
    if (!spec.groups.empty()) spec.groups[0].pattern = "*";
    return spec;
  }

  void check_parameter_groups() const {
    std::vector<std::string> patterns, names;
    for (const ParameterGroup& g : job_.optimizer.groups) patterns.push_back(g.pattern);
    for (const ModelState& s : model_.states) names.push_back(s.name);
    check_patterns_used("optimizer.groups", patterns, names);
  }

  TrainingGraph take() {
    result_.tied = parameters_.tied;
    result_.graph = std::move(b_).take();
    if (scaling_ && sums_.ends_step()) result_.graph = skipping_steps(result_.graph);
    result_.graph.verify();
    return std::move(result_);
  }

  const Model& model_;
  const JobSpec& job_;
  const StepShape& shape_;
  TrainingGraph result_;
  GraphBuilder b_;
  Accumulator sums_;
  std::optional<LossScaling> scaling_;
  Parameters parameters_;
  LossTarget about_;
  std::vector<ValueId> values_;  ///< of result_.trained
  ValueId step_ = kNone, loss_ = kNone;
};

}  // namespace

TrainingGraph build_training_step(const Model& model, const JobSpec& job, const StepShape& shape) {
  return StepBuilder(model, job, shape).build();
}

std::optional<TensorType> target_type(const Model& model, const JobSpec& job, std::int64_t samples,
                                      const std::optional<Shape>& target_sample) {
  return find_loss_target(model.forward, job.loss, target_sample, samples).target;
}

}  // namespace weft
