// Softmax, its logarithm, and cross-entropy from logits.
#include <fmt/format.h>

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

}  // namespace

std::vector<OpRules> softmax_rules() {
  return {
      {.op = Op::softmax, .infer = infer_softmax},
      {.op = Op::log_softmax, .infer = infer_softmax},
      {.op = Op::cross_entropy, .infer = infer_cross_entropy},
  };
}

}  // namespace weft::ops
