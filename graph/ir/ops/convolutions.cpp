// Convolution of any rank, and its two adjoints.
#include <fmt/format.h>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"
#include "graph/ir/ops/window.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_conv(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"strides", "pads_low", "pads_high", "dilations", "groups"});
  check.numeric(0);
  check.same_dtype(0, 1);
  return {{check.dtype(0), convolution_shape(check, check.shape(0), check.shape(1))}};
}

/// Checks that convolving `x` with `w` would give the shape of dy.
void check_adjoint(const Check& check, const Shape& x, const Shape& w, const Shape& dy) {
  const Shape expected = convolution_shape(check, x, w);
  if (dy != expected) check.fail(fmt::format("dy must have the shape {}", expected.str()));
}

std::vector<TensorType> infer_data_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"strides", "pads_low", "pads_high", "dilations", "groups", "input_shape"});
  check.floating(0);
  check.same_dtype(0, 1);
  const Shape input = check.shape_attribute("input_shape");
  check_adjoint(check, input, check.shape(1), check.shape(0));
  return {{check.dtype(0), input}};
}

std::vector<TensorType> infer_filter_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(2, {"strides", "pads_low", "pads_high", "dilations", "groups", "filter_shape"});
  check.floating(0);
  check.same_dtype(0, 1);
  const Shape filter = check.shape_attribute("filter_shape");
  check_adjoint(check, check.shape(0), filter, check.shape(1));
  return {{check.dtype(0), filter}};
}

}  // namespace

std::vector<OpRules> convolution_rules() {
  return {
      {.op = Op::conv_general, .infer = infer_conv},
      {.op = Op::conv_data_grad, .infer = infer_data_grad},
      {.op = Op::conv_filter_grad, .infer = infer_filter_grad},
  };
}

}  // namespace weft::ops
