// Composite elementwise activations: relu, sigmoid, softplus, gelu, silu.
#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_activation(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {});
  check.floating(0);
  return {check.operand(0)};
}

std::vector<TensorType> infer_gelu(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(1, {"approximate"});
  check.floating(0);
  check.text("approximate", {"none", "tanh"});
  return {check.operand(0)};
}

}  // namespace

std::vector<OpRules> activation_rules() {
  return {
      {.op = Op::relu, .infer = infer_activation},     {.op = Op::sigmoid, .infer = infer_activation},
      {.op = Op::softplus, .infer = infer_activation}, {.op = Op::gelu, .infer = infer_gelu},
      {.op = Op::silu, .infer = infer_activation},
  };
}

}  // namespace weft::ops
