// Reductions over sliding windows (pooling), and their gradients.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/window.hpp"
#include "weft/error.hpp"

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

/// One value for each place in the window, in row-major order: element o of it is the element of x that window o has
/// there, or `padding`.
std::vector<ValueId> taps(GraphBuilder& b, ValueId x, double padding, const Shape& windows, const Attributes& a) {
  const Dims &window = a.integers("window"), &strides = a.integers("strides"), &dilations = a.integers("dilations");
  const Dims none(window.size(), 0);
  const ValueId outside = b.constant(Tensor::full(b.dtype(x), Shape{}, padding));
  const ValueId padded = b.pad(x, outside, a.integers("pads_low"), a.integers("pads_high"), none);
  std::vector<ValueId> result;
  Dims tap = none;
  for (std::int64_t left = Shape(window).elements(); left > 0; --left) {
    Dims start = none, limit = none;
    for (std::size_t d = 0; d < tap.size(); ++d) {
      start[d] = tap[d] * dilations[d];
      limit[d] = start[d] + (windows[static_cast<int>(d)] - 1) * strides[d] + 1;
    }
    result.push_back(b.slice(padded, start, limit, strides));
    for (std::size_t d = tap.size(); d-- > 0 && ++tap[d] == window[d];) tap[d] = 0;
  }
  return result;
}

/// Of dy: the element of the incoming gradient at each window's maximum. Of x: zero wherever there is a gradient.
std::vector<ValueId> gradient_window_max_grad(const GradientContext& c) {
  GraphBuilder& b = c.builder;
  const Shape windows = b.shape(c.operand(1));
  if (windows.elements() == 0) return {kNone, b.like(c.operand(1), 0)};
  const Attributes& a = c.node.attributes;
  constexpr std::int64_t kMostTaps = 1024;  // each is several nodes
  if (Shape(a.integers("window")).elements() > kMostTaps)
    throw UserError(fmt::format(
        "node '{}': the second derivative of max pooling is there for windows of up to {} elements, not {}; pool in "
        "two steps",
        c.node.name, kMostTaps, to_string(a.integers("window"))));
  const std::vector<ValueId> xs = taps(b, c.operand(0), 0, windows, a), grads = taps(b, c.grad(), 0, windows, a);
  const std::vector<ValueId> insides = taps(b, b.full(DType::boolean, b.shape(c.operand(0)), 1), 0, windows, a);
  const auto both = [&](ValueId p, ValueId q) { return b.binary(Op::logical_and, p, q); };
  ValueId found = b.full(DType::boolean, windows, 0), best = b.like(xs[0], 0), grad = b.like(xs[0], 0);
  for (std::size_t t = 0; t < xs.size(); ++t) {
    const ValueId first_nan = both(b.unary(Op::is_nan, xs[t]), b.unary(Op::logical_not, b.unary(Op::is_nan, best)));
    const ValueId larger = b.binary(Op::logical_or, b.binary(Op::greater, xs[t], best), first_nan);
    const ValueId wins = both(insides[t], b.binary(Op::logical_or, b.unary(Op::logical_not, found), larger));
    best = b.select(wins, xs[t], best);
    grad = b.select(wins, grads[t], grad);
    found = b.binary(Op::logical_or, found, insides[t]);
  }
  return {kNone, grad};
}

}  // namespace

std::vector<OpRules> window_rules() {
  return {
      {.op = Op::reduce_window_max, .infer = infer_reduce_window, .gradient = gradient_window_max},
      {.op = Op::reduce_window_sum, .infer = infer_reduce_window, .gradient = gradient_window_sum},
      {.op = Op::reduce_window_max_grad, .infer = infer_max_grad, .gradient = gradient_window_max_grad},
      {.op = Op::reduce_window_sum_grad, .infer = infer_sum_grad, .gradient = gradient_window_sum_grad},
  };
}

}  // namespace weft::ops
