// Inverted dropout: the mask is a function of seed, step, sample and element, so it can be made again anywhere.
#include <cmath>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

std::vector<TensorType> infer_dropout(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  const bool inference = operands.size() == 1;  // the identity, until training gives it a seed
  check.signature(inference ? 1 : 4, {"ratio", "id", "sample_dim"});
  check.floating(0);
  for (int i = 1; i < static_cast<int>(operands.size()); ++i) check.scalar(i, DType::i64);
  check.number("ratio", 0, 1);
  check.integer("id", 0, UINT32_MAX);
  check.integer("sample_dim", -1, check.shape(0).rank() - 1);
  return {check.operand(0)};
}

std::vector<ValueId> decompose_dropout(GraphBuilder& b, const Node& node) {
  const ValueId x = node.inputs[0];
  if (node.inputs.size() == 1) return {x};  // the inference form
  const double ratio = node.attributes.number("ratio");
  // bits / 2^32 >= ratio, as integers; at 2^32 nothing is kept.
  const double threshold = std::ceil(std::ldexp(ratio, 32));
  if (threshold >= std::ldexp(1.0, 32)) return {b.like(x, 0)};
  const ValueId bits = b.one(Op::random_bits, {node.inputs[1], node.inputs[2], node.inputs[3]},
                             {{"id", node.attributes.integer("id")},
                              {"shape", b.shape(x).extents()},
                              {"sample_dim", node.attributes.integer("sample_dim")}});
  const ValueId keep = b.binary(Op::greater_equal, bits, b.full(DType::u32, b.shape(x), threshold));
  return {b.select(keep, b.mul(x, b.like(x, 1 / (1 - ratio))), b.like(x, 0))};
}

/// The same mask, by the same seed, step, sample and id.
std::vector<ValueId> gradient_dropout(const GradientContext& c) {
  return {c.builder.one(Op::dropout, {c.grad(), c.operand(1), c.operand(2), c.operand(3)}, c.node.attributes), kNone,
          kNone, kNone};
}

}  // namespace

std::vector<OpRules> dropout_rules() {
  return {{.op = Op::dropout, .infer = infer_dropout, .gradient = gradient_dropout, .decompose = decompose_dropout}};
}

}  // namespace weft::ops
