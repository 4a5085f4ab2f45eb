// Convolution of any rank, and its two adjoints.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/window.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_conv(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  const DType type = check.contraction({"strides", "pads_low", "pads_high", "dilations", "groups"});
  check.numeric(0);
  return {{type, convolution_shape(check, check.shape(0), check.shape(1))}};
}

/// Checks that convolving `x` with `w` would give the shape of dy.
void check_adjoint(const Check& check, const Shape& x, const Shape& w, const Shape& dy) {
  const Shape expected = convolution_shape(check, x, w);
  if (dy != expected) check.fail(fmt::format("dy must have the shape {}", expected.str()));
}

std::vector<TensorType> infer_data_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  const DType type = check.contraction({"strides", "pads_low", "pads_high", "dilations", "groups", "input_shape"});
  check.floating(0);
  const Shape input = check.shape_attribute("input_shape");
  check_adjoint(check, input, check.shape(1), check.shape(0));
  return {{type, input}};
}

std::vector<TensorType> infer_filter_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  const DType type = check.contraction({"strides", "pads_low", "pads_high", "dilations", "groups", "filter_shape"});
  check.floating(0);
  const Shape filter = check.shape_attribute("filter_shape");
  check_adjoint(check, check.shape(0), filter, check.shape(1));
  return {{type, filter}};
}

Attributes window_of(const Attributes& attributes) {
  Attributes window;
  for (const char* name : {"strides", "pads_low", "pads_high", "dilations"})
    window.set(name, attributes.integers(name));
  window.set("groups", attributes.integer("groups"));
  return window;
}

/// The gradient in the operands' type: a result may be wider.
ValueId grad(const GradientContext& c) { return c.builder.cast(c.grad(), c.builder.dtype(c.operand(0))); }

// A convolution is linear in x and in w, so its gradients and theirs are three operators in a circle.
ValueId forward(const GradientContext& c, ValueId x, ValueId w) {
  return c.builder.one(Op::conv_general, {x, w}, window_of(c.node.attributes));
}
ValueId data_grad(const GradientContext& c, ValueId dy, ValueId w, const Shape& input) {
  Attributes attributes = window_of(c.node.attributes);
  attributes.set("input_shape", input.extents());
  return c.builder.one(Op::conv_data_grad, {dy, w}, std::move(attributes));
}
ValueId filter_grad(const GradientContext& c, ValueId x, ValueId dy, const Shape& filter) {
  Attributes attributes = window_of(c.node.attributes);
  attributes.set("filter_shape", filter.extents());
  return c.builder.one(Op::conv_filter_grad, {x, dy}, std::move(attributes));
}

std::vector<ValueId> gradient_conv(const GradientContext& c) {
  const ValueId x = c.operand(0), w = c.operand(1);
  return {c.wanted[0] ? data_grad(c, grad(c), w, c.builder.shape(x)) : kNone,
          c.wanted[1] ? filter_grad(c, x, grad(c), c.builder.shape(w)) : kNone};
}

std::vector<ValueId> gradient_data_grad(const GradientContext& c) {
  const ValueId dy = c.operand(0), w = c.operand(1);
  return {c.wanted[0] ? forward(c, grad(c), w) : kNone,
          c.wanted[1] ? filter_grad(c, grad(c), dy, c.builder.shape(w)) : kNone};
}

std::vector<ValueId> gradient_filter_grad(const GradientContext& c) {
  const ValueId x = c.operand(0), dy = c.operand(1);
  return {c.wanted[0] ? data_grad(c, dy, grad(c), c.builder.shape(x)) : kNone,
          c.wanted[1] ? forward(c, x, grad(c)) : kNone};
}

}  // namespace

std::vector<OpRules> convolution_rules() {
  return {
      {.op = Op::conv_general, .infer = infer_conv, .gradient = gradient_conv},
      {.op = Op::conv_data_grad, .infer = infer_data_grad, .gradient = gradient_data_grad},
      {.op = Op::conv_filter_grad, .infer = infer_filter_grad, .gradient = gradient_filter_grad},
  };
}

}  // namespace weft::ops
