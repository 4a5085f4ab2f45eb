// Inverted dropout: the mask is a function of seed, step, sample and element, so it can be made again anywhere.
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

}  // namespace

std::vector<OpRules> dropout_rules() { return {{.op = Op::dropout, .infer = infer_dropout}}; }

}  // namespace weft::ops
