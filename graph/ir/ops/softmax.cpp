// Softmax, its logarithm, and cross-entropy from logits.
#include <fmt/format.h>

#include <limits>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_softmax(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"axis"});
  check.floating(0);
  check.axis("axis", check.shape(0).rank());
  return {check.operand(0)};
}

std::vector<TensorType> infer_cross_entropy(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"axis", "ignore_index", "label_smoothing"});
  check.floating(0);
  check.integral(1);
  const int axis = check.axis("axis", check.shape(0).rank());
  check.integer("ignore_index", INT64_MIN);
  check.number("label_smoothing", 0, 1);
  check.that(check.shape(0)[axis] > 0, "'axis' has no classes");
  Dims extents = check.shape(0).extents();
  extents.erase(extents.begin() + axis);
  const Shape expected(std::move(extents));
  if (check.shape(1) != expected) check.fail(fmt::format("labels must have the shape {}", expected.str()));
  return {{check.dtype(0), expected}};
}

/// x less its maximum along `axis`: exponentials of the result cannot overflow, and one of them is 1.
ValueId shifted(GraphBuilder& b, ValueId x, std::int64_t axis) {
  return b.sub(x, b.reduce(Op::reduce_max, x, {axis}, true));
}

std::vector<ValueId> decompose_softmax(GraphBuilder& b, const Node& node) {
  const std::int64_t axis = node.attributes.integer("axis");
  const ValueId e = b.unary(Op::exp, shifted(b, node.inputs[0], axis));
  return {b.div(e, b.reduce(Op::reduce_sum, e, {axis}, true))};
}

ValueId log_sum_exp(GraphBuilder& b, ValueId shifted_x, std::int64_t axis) {
  return b.unary(Op::log, b.reduce(Op::reduce_sum, b.unary(Op::exp, shifted_x), {axis}, true));
}

std::vector<ValueId> decompose_log_softmax(GraphBuilder& b, const Node& node) {
  const std::int64_t axis = node.attributes.integer("axis");
  const ValueId z = shifted(b, node.inputs[0], axis);
  return {b.sub(z, log_sum_exp(b, z, axis))};
}

/// Whether each label counts; kNone where no label of this type can be `ignore_index`.
ValueId counted(GraphBuilder& b, ValueId labels, std::int64_t ignore_index) {
  const Tensor value = Tensor::scalar(ignore_index).cast(b.dtype(labels));
  if (value.as_int(0) != ignore_index) return kNone;
  return b.binary(Op::not_equal, labels, b.constant(value));
}

/// Where along `axis` each position's label stands; nowhere for a label outside the classes.
ValueId is_label(GraphBuilder& b, ValueId labels, const Shape& shape, int axis) {
  // Narrow label types cannot count all classes.
  if (size_of(b.dtype(labels)) < 4) labels = b.cast(labels, DType::i64);
  return b.binary(Op::equal, b.iota(b.dtype(labels), shape, axis), b.reshape(labels, shape.with(axis, 1)));
}

/// With z = logits less their maximum and s the smoothing, each position's loss is
/// log sum exp z - (1 - s) z[label] - s mean z. The label's z is a sum with one term along the row, so that one kernel
/// makes the whole loss in passes over rows that stay in the cache.
std::vector<ValueId> decompose_cross_entropy(GraphBuilder& b, const Node& node) {
  const ValueId logits = node.inputs[0], labels = node.inputs[1];
  const auto axis = static_cast<int>(node.attributes.integer("axis"));
  const double smoothing = node.attributes.number("label_smoothing");
  const Shape& shape = b.shape(logits);
  const ValueId z = shifted(b, logits, axis);
  ValueId target = b.reduce(Op::reduce_sum, b.select(is_label(b, labels, shape, axis), z, b.like(z, 0)), {axis}, true);
  if (smoothing > 0)
    target =
        b.add(b.mul(target, b.like(target, 1 - smoothing)), b.mul(b.mean(z, {axis}, true), b.like(target, smoothing)));
  const ValueId loss = b.reshape(b.sub(log_sum_exp(b, z, axis), target), b.shape(labels));
  const ValueId wide = b.cast(labels, DType::i64);
  const ValueId known = b.binary(Op::logical_and, b.binary(Op::greater_equal, wide, b.like(wide, 0)),
                                 b.binary(Op::less, wide, b.like(wide, static_cast<double>(shape[axis]))));
  const ValueId checked = b.select(known, loss, b.like(loss, std::numeric_limits<double>::quiet_NaN()));
  const ValueId counts = counted(b, labels, node.attributes.integer("ignore_index"));
  return {counts == kNone ? checked : b.select(counts, checked, b.like(loss, 0))};
}

std::vector<ValueId> gradient_softmax(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId y = c.result(), product = b.mul(c.grad(), y);
  const ValueId sum = b.reduce(Op::reduce_sum, product, {c.node.attributes.integer("axis")}, true);
  return {b.sub(product, b.mul(y, sum))};
}

std::vector<ValueId> gradient_log_softmax(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId sum = b.reduce(Op::reduce_sum, c.grad(), {c.node.attributes.integer("axis")}, true);
  return {b.sub(c.grad(), b.mul(b.unary(Op::exp, c.result()), sum))};
}

/// Softmax less the smoothed target, (1 - s) at the label and s / classes everywhere; 0 where the label is ignored.
std::vector<ValueId> gradient_cross_entropy(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const ValueId logits = c.operand(0);
  const Shape& shape = b.shape(logits);
  const auto axis = static_cast<int>(c.node.attributes.integer("axis"));
  const double smoothing = c.node.attributes.number("label_smoothing");
  const Shape kept = shape.with(axis, 1);
  ValueId slope = b.one(Op::softmax, {logits}, {{"axis", std::int64_t{axis}}});
  if (smoothing > 0) slope = b.sub(slope, b.like(slope, smoothing / static_cast<double>(shape[axis])));
  slope = b.select(is_label(b, c.operand(1), shape, axis), b.sub(slope, b.like(slope, 1 - smoothing)), slope);
  const ValueId gradient = b.mul(slope, b.reshape(c.grad(), kept));
  const ValueId counts = counted(b, c.operand(1), c.node.attributes.integer("ignore_index"));
  // Chosen last: logits of ignored positions may be anything.
  return {counts == kNone ? gradient : b.select(b.reshape(counts, kept), gradient, b.like(gradient, 0)), kNone};
}

}  // namespace

std::vector<OpRules> softmax_rules() {
  return {
      {.op = Op::softmax, .infer = infer_softmax, .gradient = gradient_softmax, .decompose = decompose_softmax},
      {.op = Op::log_softmax,
       .infer = infer_softmax,
       .gradient = gradient_log_softmax,
       .decompose = decompose_log_softmax},
      {.op = Op::cross_entropy,
       .infer = infer_cross_entropy,
       .gradient = gradient_cross_entropy,
       .decompose = decompose_cross_entropy},
  };
}

}  // namespace weft::ops
