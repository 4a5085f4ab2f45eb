// The evaluation graph: sums and counts that add up over batches of any size.
#include <cmath>

#include "graph/training/forward.hpp"
#include "graph/training/metrics.hpp"
#include "graph/training/step_inputs.hpp"
#include "graph/training/training_step.hpp"

namespace weft {

double EvaluationTotal::value(double sum, double count) const {
  const double mean = sum / count;
  return exponential ? std::exp(mean) : mean;
}

EvaluationGraph build_evaluation(const Model& model, const JobSpec& job, std::int64_t samples,
                                 const std::optional<Shape>& target_sample) {
  const Parameters parameters = choose_parameters(model, job, trained_statistics(model.forward, job.freeze));
  const LossTarget about = find_loss_target(model.forward, job.loss, target_sample, samples);
  GraphBuilder b;
  const StepInputs inputs = add_step_inputs(b, model.forward, parameters, about);
  const ForwardValues forward = append_inference_forward(b, model.forward, inputs.arguments);
  const ValueId output = loss_output(model.forward, about, forward.outputs);

  EvaluationGraph result;
  const auto total = [&](const std::string& name, const LossSum& terms, bool exponential) {
    const ScopedName scope(b, "evaluation/" + name);
    const ValueId count = terms.counted != kNone
                              ? b.cast(terms.counted, DType::f64)
                              : b.full(DType::f64, {}, static_cast<double>(terms.count_per_sample * samples));
    b.output(name + "_sum", OutputRole::fetch, b.cast(terms.sum, DType::f64));
    b.output(name + "_count", OutputRole::fetch, count);
    result.totals.push_back({name, name + "_sum", name + "_count", exponential});
  };
  total("loss", append_loss(b, job.loss, about, output, inputs.target, samples), false);
  for (const MetricSum& metric : append_metrics(b, job.metrics, {job.loss, about, output, inputs.target, samples}))
    total(metric.name, metric.terms, metric.exponential);
  result.graph = std::move(b).take();
  result.graph.verify();
  return result;
}

}  // namespace weft
