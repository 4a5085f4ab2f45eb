// Placement of attention: samples are independent, and so are heads.
#include "graph/ir/ops/placement.hpp"

namespace weft::ops {
namespace {

/// How an operand or result runs along batch and heads: their dimensions, -1 where it does not.
struct Along {
  int batch = 0, heads = 2;
};

/// The cut of `heads` heads that goes with a cut of `given` ones; empty when groups of heads would be torn apart.
Dims rescaled(const Dims& extents, std::int64_t given, std::int64_t heads) {
  Dims result;
  for (const std::int64_t e : extents) {
    if (e * heads % given != 0) return {};
    result.push_back(e * heads / given);
  }
  return result;
}

PlacementAnswer attention(const Node& node, std::span<const TensorType> operands, std::span<const TensorType> results,
                          std::span<const AxisPlacement> given, int coordinate) {
  const PlacementQuestion q{node, operands, results, given, coordinate};
  const bool gradient = node.op == Op::attention_grad;
  const std::size_t mask = gradient ? 7 : 3;
  const Along rows{0, 1};  // of the two numbers a row
  const auto along = [&](std::size_t i) {
    if (gradient && (i == 5 || i == 6)) return rows;
    if (i != mask) return Along{};
    const Shape& shape = operands[i].shape;
    return Along{shape[0] == 1 ? -1 : 0, shape[1] == 1 ? -1 : 1};
  };
  const std::size_t me = q.first_cut();
  if (me == given.size()) return q.all_whole();
  const AxisPlacement& p = given[me];
  const Along mine = along(me);
  const bool batch = p.dimension == mine.batch, heads = p.dimension == mine.heads;
  if ((!batch && !heads) || p.blocks != 1) return q.all_whole();
  PlacementAnswer answer = q.all_whole();
  const std::int64_t cut_heads = operands[me].shape[p.dimension];
  const auto place = [&](const TensorType& type, Along a, AxisPlacement& to) {
    const int d = batch ? a.batch : a.heads;
    if (d < 0) return true;
    Dims extents = batch ? p.extents : rescaled(p.extents, cut_heads, type.shape[d]);
    to = cut(d, std::move(extents));
    return !to.extents.empty();
  };
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (!place(operands[i], along(i), answer.operands[i])) return q.all_whole();
  for (std::size_t i = 0; i < results.size(); ++i)
    if (!place(results[i], !gradient && i > 0 ? rows : Along{}, answer.results[i])) return q.all_whole();
  return answer;
}

}  // namespace

PlacementRule attention_placement(Op op) {
  return op == Op::attention || op == Op::attention_grad ? attention : nullptr;
}

}  // namespace weft::ops
