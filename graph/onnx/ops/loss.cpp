// Losses that models carry themselves.
#include <fmt/format.h>

#include "graph/onnx/ops/table.hpp"
#include "weft/error.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

/// -weight[label] * log_p at each label, reduced; `log_p` is [N, C, d...] and labels are [N, d...].
ValueId negative_log_likelihood(OpContext& c, ValueId log_p, ValueId labels, int weight_operand) {
  GraphBuilder& b = c.b;
  const DType type = b.dtype(log_p);
  const Shape shape = b.shape(labels);
  const std::int64_t classes = b.shape(log_p)[1];
  ValueId index = b.cast(labels, DType::i64);
  ValueId ignored = kNone;
  if (c.has_attribute("ignore_index")) {
    ignored = b.binary(Op::equal, index, b.like(index, static_cast<double>(c.integer("ignore_index", 0))));
    index = b.select(ignored, b.like(index, 0), index);
  }
  const Shape column = b.shape(log_p).with(1, 1);
  const ValueId picked = b.one(Op::gather_elements, {log_p, b.reshape(index, column)}, {{"axis", std::int64_t{1}}});
  ValueId loss = b.unary(Op::neg, b.reshape(picked, shape));
  ValueId weight = b.full(type, shape, 1);
  if (c.has(weight_operand)) {
    if (c.shape(weight_operand) != Shape{classes}) OpContext::unsupported("needs one weight per class");
    weight = b.one(Op::gather, {c.in(weight_operand), index}, {{"axis", std::int64_t{0}}});
  }
  if (ignored != kNone) {
    weight = b.select(ignored, b.like(weight, 0), weight);
    loss = b.select(ignored, b.like(loss, 0), loss);
  }
  loss = b.mul(loss, weight);
  const std::string reduction = c.text("reduction", "mean");
  if (reduction == "none") return loss;
  Dims all;
  for (int d = 0; d < shape.rank(); ++d) all.push_back(d);
  const ValueId sum = b.reduce(Op::reduce_sum, loss, all);
  if (reduction == "sum") return sum;
  if (reduction != "mean") OpContext::unsupported("unknown reduction '" + reduction + "'");
  return b.div(sum, b.reduce(Op::reduce_sum, weight, all));
}

void check_shapes(OpContext& c) {
  if (c.rank(0) < 2 || c.rank(1) != c.rank(0) - 1)
    OpContext::unsupported(
        fmt::format("scores {} and labels {} do not fit each other", c.shape(0).str(), c.shape(1).str()));
}

Values import_nll_loss(OpContext& c) {
  check_shapes(c);
  return {negative_log_likelihood(c, c.in(0), c.in(1), 2)};
}

Values import_softmax_cross_entropy(OpContext& c) {
  check_shapes(c);
  const ValueId log_p = c.b.one(Op::log_softmax, {c.in(0)}, {{"axis", std::int64_t{1}}});
  return {negative_log_likelihood(c, log_p, c.in(1), 2), log_p};
}

constexpr OpRow kLossRows[] = {
    {"NegativeLogLikelihoodLoss", import_nll_loss},
    {"SoftmaxCrossEntropyLoss", import_softmax_cross_entropy},
};

}  // namespace

std::span<const OpRow> loss_rows() { return kLossRows; }

}  // namespace weft::onnx
