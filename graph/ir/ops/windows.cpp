// Reductions over sliding windows (pooling), and their gradients.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/window.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_reduce_window(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"window", "strides", "pads_low", "pads_high", "dilations"});
  check.numeric(0);
  return {{check.dtype(0), pooling_shape(check, check.shape(0))}};
}

std::vector<TensorType> infer_max_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"window", "strides", "pads_low", "pads_high", "dilations"});
  check.floating(0);
  check.same_dtype(0, 1);
  const Shape expected = pooling_shape(check, check.shape(0));
  if (check.shape(1) != expected) check.fail(fmt::format("dy must have the shape {}", expected.str()));
  return {check.operand(0)};
}

std::vector<TensorType> infer_sum_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"window", "strides", "pads_low", "pads_high", "dilations", "input_shape"});
  check.floating(0);
  const Shape input = check.shape_attribute("input_shape");
  const Shape expected = pooling_shape(check, input);
  if (check.shape(0) != expected) check.fail(fmt::format("dy must have the shape {}", expected.str()));
  return {{check.dtype(0), input}};
}

std::vector<ValueId> gradient_window_max(const GradientContext& c) {
  return {c.builder.one(Op::reduce_window_max_grad, {c.operand(0), c.grad()}, c.node.attributes)};
}

std::vector<ValueId> gradient_window_sum(const GradientContext& c) {
  Attributes attributes = c.node.attributes;
  attributes.set("input_shape", c.builder.shape(c.operand(0)).extents());
  return {c.builder.one(Op::reduce_window_sum_grad, {c.grad()}, std::move(attributes))};
}

std::vector<ValueId> gradient_window_sum_grad(const GradientContext& c) {
  Attributes attributes;
  for (const char* name : {"window", "strides", "pads_low", "pads_high", "dilations"})
    attributes.set(name, c.node.attributes.integers(name));
  return {c.builder.one(Op::reduce_window_sum, {c.grad()}, std::move(attributes))};
}

}  // namespace

std::vector<OpRules> window_rules() {
  return {
      {.op = Op::reduce_window_max, .infer = infer_reduce_window, .gradient = gradient_window_max},
      {.op = Op::reduce_window_sum, .infer = infer_reduce_window, .gradient = gradient_window_sum},
      {.op = Op::reduce_window_max_grad, .infer = infer_max_grad},
      {.op = Op::reduce_window_sum_grad, .infer = infer_sum_grad, .gradient = gradient_window_sum_grad},
  };
}

}  // namespace weft::ops
