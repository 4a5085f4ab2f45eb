// Metrics as graph.
#include "graph/training/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "weft/error.hpp"

namespace weft {
namespace {

/// How many of `right` (bool) hold, as f32: exact below 2^24, hence through i64.
ValueId count_true(GraphBuilder& b, ValueId right) {
  const ValueId ones = b.cast(right, DType::i64);
  return b.cast(b.reduce_all(Op::reduce_sum, ones), DType::f32);
}

LossSum counted(GraphBuilder& b, const MetricInputs& in, ValueId right) {
  const ValueId valid = counted_labels(b, in.loss, in.target);
  const ValueId ones = b.cast(valid, DType::i64);
  return {count_true(b, b.binary(Op::logical_and, right, valid)), b.reduce_all(Op::reduce_sum, ones), 0};
}

LossSum accuracy(GraphBuilder& b, const MetricInputs& in) {
  if (in.loss.name == "cross_entropy") {
    const ValueId guess =
        b.one(Op::argmax, {in.output}, {{"axis", std::int64_t{in.about.class_axis}}, {"last", std::int64_t{0}}});
    return counted(b, in, b.binary(Op::equal, guess, in.target));
  }
  if (in.loss.name == "bce_with_logits") {
    const ValueId t = b.reshape(in.target, b.shape(in.output));
    const ValueId guess = b.binary(Op::greater, in.output, b.like(in.output, 0));
    const ValueId truth = b.binary(Op::greater, t, b.like(t, 0.5));
    const ValueId right = b.unary(Op::logical_not, b.binary(Op::logical_xor, guess, truth));
    const std::int64_t per_sample = in.samples == 0 ? 1 : b.shape(right).elements() / in.samples;
    return {count_true(b, right), kNone, per_sample};
  }
  throw UserError(
      fmt::format("metric 'accuracy' needs the loss cross_entropy or bce_with_logits, not '{}'", in.loss.name));
}

void need_cross_entropy(const MetricInputs& in, const char* metric) {
  if (in.loss.name != "cross_entropy")
    throw UserError(fmt::format("metric '{}' needs the loss cross_entropy, not '{}'", metric, in.loss.name));
}

LossSum top_five(GraphBuilder& b, const MetricInputs& in) {
  need_cross_entropy(in, "top5");
  const int axis = in.about.class_axis;
  const std::int64_t k = std::min<std::int64_t>(5, b.shape(in.output)[axis]);
  const std::vector<ValueId> best =
      b.node(Op::top_k, {in.output}, {{"axis", std::int64_t{axis}}, {"k", k}, {"largest", std::int64_t{1}}});
  Dims dims;  // labels along every axis but the class axis
  for (int i = 0; i < b.shape(in.output).rank(); ++i)
    if (i != axis) dims.push_back(i);
  const ValueId labels = b.broadcast_in(in.target, b.shape(best[1]), std::move(dims));
  const ValueId hits = b.cast(b.binary(Op::equal, best[1], labels), DType::i64);
  const ValueId hit = b.reduce(Op::reduce_sum, hits, {axis});
  return counted(b, in, b.binary(Op::greater, hit, b.like(hit, 0)));
}

LossSum plain_cross_entropy(GraphBuilder& b, const MetricInputs& in) {
  need_cross_entropy(in, "perplexity");
  LossSpec plain = in.loss;
  plain.label_smoothing = 0;
  return append_loss(b, plain, in.about, in.output, in.target, in.samples);
}

LossSum mean_error(GraphBuilder& b, const MetricInputs& in) {
  if (in.loss.name == "cross_entropy")
    throw UserError("metric 'mean_error' needs a loss on real targets (mse, l1, huber, bce_with_logits)");
  LossSpec absolute = in.loss;
  absolute.name = "l1";
  const ValueId guess = in.loss.name == "bce_with_logits" ? b.unary(Op::sigmoid, in.output) : in.output;
  return append_loss(b, absolute, in.about, guess, in.target, in.samples);
}

}  // namespace

std::vector<MetricSum> append_metrics(GraphBuilder& builder, const std::vector<std::string>& names,
                                      const MetricInputs& inputs) {
  std::vector<MetricSum> result;
  for (const std::string& name : names) {
    if (inputs.target == kNone)
      throw UserError(fmt::format("metric '{}' needs a target, but the model computes its own loss", name));
    const ScopedName scope(builder, "metric/" + name);
    if (name == "accuracy")
      result.push_back({name, accuracy(builder, inputs), false});
    else if (name == "top5")
      result.push_back({name, top_five(builder, inputs), false});
    else if (name == "perplexity")
      result.push_back({name, plain_cross_entropy(builder, inputs), true});
    else if (name == "mean_error")
      result.push_back({name, mean_error(builder, inputs), false});
    else
      throw UserError(fmt::format("metric '{}' is unknown; allowed are accuracy, top5, perplexity, mean_error", name));
  }
  return result;
}

}  // namespace weft
