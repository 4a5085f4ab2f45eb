// Losses as graph.
#include "graph/training/loss.hpp"

#include <fmt/format.h>

#include <cmath>

#include "weft/error.hpp"

namespace weft {
namespace {

bool is_elementwise(const std::string& name) {
  return name == "mse" || name == "l1" || name == "huber" || name == "bce_with_logits";
}

void check_loss(const LossSpec& loss) {
  if (loss.name.empty() && loss.output.empty())
    throw UserError("loss: give a name (cross_entropy, mse, l1, huber, bce_with_logits) or {output: NAME}");
  if (!loss.name.empty() && loss.name != "cross_entropy" && !is_elementwise(loss.name))
    throw UserError(fmt::format(
        "loss '{}' is unknown; allowed are cross_entropy, mse, l1, huber, bce_with_logits, or {{output: NAME}}",
        loss.name));
  if (!(loss.label_smoothing >= 0 && loss.label_smoothing < 1))
    throw UserError(fmt::format("loss.label_smoothing is {}; it must be at least 0 and below 1", loss.label_smoothing));
  if (!(loss.delta > 0) || !std::isfinite(loss.delta))
    throw UserError(fmt::format("loss.delta is {}; it must be above 0", loss.delta));
}

const GraphOutput& find_model_output(const Graph& forward, const LossSpec& loss) {
  std::string known;
  const GraphOutput* first = nullptr;
  for (const GraphOutput& o : forward.outputs()) {
    if (o.role != OutputRole::fetch) continue;
    if (o.name == loss.output) return o;
    if (first == nullptr) first = &o;
    known += (known.empty() ? "" : ", ") + o.name;
  }
  if (first == nullptr) throw UserError("the model has no output to compute a loss from");
  if (!loss.output.empty())
    throw UserError(fmt::format("loss.output '{}' is no output of the model; it has {}", loss.output, known));
  return *first;
}

Dims without_ones(const Dims& dims) {
  Dims result;
  for (const std::int64_t d : dims)
    if (d != 1) result.push_back(d);
  return result;
}

Dims without_axis(Dims dims, int axis) {
  dims.erase(dims.begin() + axis);
  return dims;
}

Dims with_samples(std::int64_t samples, const Shape& sample) {
  Dims dims{samples};
  dims.insert(dims.end(), sample.begin(), sample.end());
  return dims;
}

/// The last axis but the first whose removal leaves the labels' shape.
int find_class_axis(const GraphOutput& output, const Shape& logits, const LossSpec& loss,
                    const std::optional<Shape>& target_sample, std::int64_t samples) {
  if (logits.rank() < 2)
    throw UserError(
        fmt::format("cross_entropy: the model's output '{}' is {}; logits need a class axis beside the "
                    "samples",
                    output.name, logits.str()));
  if (loss.class_axis) {
    const int axis = *loss.class_axis < 0 ? *loss.class_axis + logits.rank() : *loss.class_axis;
    if (axis < 1 || axis >= logits.rank())
      throw UserError(fmt::format("loss.class_axis is {}, but the model's output '{}' is {}: allowed are 1 to {}",
                                  *loss.class_axis, output.name, logits.str(), logits.rank() - 1));
    if (target_sample && without_axis(logits.extents(), axis) != with_samples(samples, *target_sample))
      throw UserError(
          fmt::format("cross_entropy: labels {} do not fit the model's output '{}' {} without class_axis {}",
                      to_string(with_samples(samples, *target_sample)), output.name, logits.str(), axis));
    return axis;
  }
  if (!target_sample) return logits.rank() == 2 ? 1 : logits.rank() - 1;
  const Dims labels = with_samples(samples, *target_sample);
  for (int axis = logits.rank() - 1; axis >= 1; --axis)
    if (without_axis(logits.extents(), axis) == labels) return axis;
  throw UserError(fmt::format(
      "cross_entropy: labels {} do not fit the model's output '{}' {}; labels must be integers of the output's shape "
      "without its class axis (one class number a sample, not one-hot rows)",
      to_string(labels), output.name, logits.str()));
}

/// Elementwise loss terms, PyTorch's formulas.
ValueId elementwise_terms(GraphBuilder& b, const LossSpec& loss, ValueId x, ValueId t) {
  if (loss.name == "bce_with_logits") {  // (1 - t) x + log(1 + exp(-x)): exact for large |x|
    const ValueId linear = b.mul(b.sub(b.like(t, 1), t), x);
    return b.add(linear, b.unary(Op::softplus, b.unary(Op::neg, x)));
  }
  const ValueId d = b.sub(x, t);
  if (loss.name == "mse") return b.mul(d, d);
  const ValueId size = b.unary(Op::abs, d);
  if (loss.name == "l1") return size;
  const ValueId inner = b.mul(b.mul(d, d), b.like(d, 0.5));
  const ValueId outer = b.mul(b.sub(size, b.like(d, 0.5 * loss.delta)), b.like(d, loss.delta));
  return b.select(b.binary(Op::less, size, b.like(d, loss.delta)), inner, outer);
}

ValueId sum_all(GraphBuilder& b, ValueId x) { return b.reduce_all(Op::reduce_sum, x); }

}  // namespace

LossTarget find_loss_target(const Graph& forward, const LossSpec& loss, const std::optional<Shape>& target_sample,
                            std::int64_t samples) {
  check_loss(loss);
  const GraphOutput& output = find_model_output(forward, loss);
  const TensorType& type = forward.type(output.value);
  if (!is_float(type.dtype))
    throw UserError(fmt::format("loss: the model's output '{}' is {}; a loss needs a floating-point output",
                                output.name, type.str()));
  LossTarget result{output.name, std::nullopt, -1};
  if (loss.name.empty()) {
    if (type.shape.elements() != 1)
      throw UserError(
          fmt::format("loss.output '{}' is {}; a loss that the model computes must be a scalar (the mean "
                      "over the samples)",
                      output.name, type.str()));
    return result;
  }
  if (type.shape.rank() < 1 || type.shape[0] != samples)
    throw UserError(fmt::format("loss: the model's output '{}' is {}; its first dimension must be the {} samples",
                                output.name, type.str(), samples));
  if (loss.name == "cross_entropy") {
    result.class_axis = find_class_axis(output, type.shape, loss, target_sample, samples);
    result.target = TensorType{DType::i64, Shape(without_axis(type.shape.extents(), result.class_axis))};
    return result;
  }
  Dims target = target_sample ? with_samples(samples, *target_sample) : type.shape.extents();
  const Dims output_sample(type.shape.begin() + 1, type.shape.end());
  if (target_sample && without_ones(target_sample->extents()) != without_ones(output_sample))
    throw UserError(fmt::format("{}: targets {} do not fit the model's output '{}' {}; their shapes must be equal",
                                loss.name, to_string(target), output.name, type.shape.str()));
  result.target = TensorType{type.dtype, Shape(std::move(target))};
  return result;
}

ValueId counted_labels(GraphBuilder& builder, const LossSpec& loss, ValueId labels) {
  const ValueId ignored = builder.constant(Tensor::scalar<std::int64_t>(loss.ignore_index));  // exact above 2^53 too
  return builder.binary(Op::not_equal, labels, ignored);
}

LossSum append_loss(GraphBuilder& builder, const LossSpec& loss, const LossTarget& about, ValueId output,
                    ValueId target, std::int64_t samples) {
  const ScopedName name(builder, "loss");
  const DType type = builder.dtype(output) == DType::f64 ? DType::f64 : DType::f32;
  const ValueId x = builder.cast(output, type);
  if (!about.target) {  // the model's own mean over the samples of this pass
    const ValueId mean = builder.reshape(x, Shape{});
    return {builder.mul(mean, builder.like(mean, static_cast<double>(samples))), kNone, 1};
  }
  if (loss.name == "cross_entropy") {
    const ValueId terms = builder.one(Op::cross_entropy, {x, target},
                                      {{"axis", std::int64_t{about.class_axis}},
                                       {"ignore_index", loss.ignore_index},
                                       {"label_smoothing", loss.label_smoothing}});
    const ValueId counted = builder.cast(counted_labels(builder, loss, target), DType::i64);
    return {sum_all(builder, terms), sum_all(builder, counted), 0};
  }
  const ValueId t = builder.reshape(builder.cast(target, type), builder.shape(x));
  const std::int64_t per_sample = samples == 0 ? 1 : builder.shape(x).elements() / samples;
  return {sum_all(builder, elementwise_terms(builder, loss, x, t)), kNone, per_sample};
}

}  // namespace weft
