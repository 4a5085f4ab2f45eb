// What a body asks for, and whether the template takes it.
#include "kernels/loops/attention.hpp"

#include <algorithm>

#include "kernels/loops/attention_problem.hpp"

namespace weft::loops {
namespace {

// Blocks: large enough for products at full rate, small enough that both tiles of scores stay near the core.
constexpr std::int64_t kQueryBlock = 64, kKeyBlock = 64;
// A thread's own tiles lie on its stack.
constexpr std::int64_t kMostFeatures = 512;

bool is_attention_op(Op op) { return op == Op::attention || op == Op::attention_grad; }

bool takes(DType type) { return type == DType::f32 || type == DType::bf16 || type == DType::f16; }

/// Neighbouring features, as tile products want them.
bool has_rows(const std::optional<StridedView>& view) { return !view || view->strides[3] == 1; }

std::string refusal_of(const StridedBody& body) {
  const bool gradient = body.node->op == Op::attention_grad;
  const Graph& graph = body.body;
  const TensorType& q = graph.type(body.node->inputs[gradient ? 1 : 0]);
  const TensorType& v = graph.type(body.node->inputs[gradient ? 3 : 2]);
  if (!takes(q.dtype)) return "attention in " + std::string(name_of(q.dtype)) + " is decomposed";
  if (q.shape[3] > kMostFeatures || v.shape[3] > kMostFeatures) return "heads of more than 512 features are decomposed";
  if (q.shape.elements() == 0 || v.shape.elements() == 0) return "nothing to compute";
  for (std::size_t i = 0; i < (gradient ? 5u : 3u); ++i)
    if (!has_rows(body.operands[i])) return "features of a head do not lie side by side";
  for (std::size_t i = 0; i < (gradient ? 3u : 1u); ++i)
    if (!has_rows(body.results[i])) return "features of a result's head do not lie side by side";
  return {};
}

/// Whether pairs of features of every row that is multiplied lie at whole pairs from the first element.
bool can_be_pairs(const StridedBody& body) {
  const bool gradient = body.node->op == Op::attention_grad;
  for (std::size_t i = 0; i < (gradient ? 4u : 3u); ++i) {
    const TensorType& type = body.body.type(body.node->inputs[i]);
    const StridedView& view = body.operands[i];
    if (type.dtype != DType::bf16 || type.shape[3] % 2 != 0 || view.offset % 2 != 0) return false;
    for (std::size_t d = 0; d < 3; ++d)
      if (view.strides[d] % 2 != 0) return false;
  }
  return true;
}

/// Blocks of keys of nearly equal size, an even one.
std::int64_t block_of(std::int64_t keys) {
  const std::int64_t blocks = std::max<std::int64_t>(1, (keys + kKeyBlock / 2) / kKeyBlock);
  const std::int64_t each = (keys + blocks - 1) / blocks;
  return each + each % 2;
}

AttentionProblem problem_of(StridedBody& body) {
  const Node& node = *body.node;
  const std::size_t first = node.op == Op::attention_grad ? 1 : 0, mask = first == 1 ? 7 : 3;
  const Graph& graph = body.body;
  const Shape &q = graph.type(node.inputs[first]).shape, &k = graph.type(node.inputs[first + 1]).shape;
  AttentionProblem p;
  p.batch = q[0], p.queries = q[1], p.heads = q[2], p.features = q[3];
  p.keys = k[1], p.groups = k[2], p.values = graph.type(node.inputs[first + 2]).shape[3];
  p.scale = node.attributes.number("scale");
  p.causal = node.attributes.integer("causal") != 0;
  p.zero_masked = node.attributes.integer("zero_masked") != 0;
  // Beyond these all keys are seen, or none: what positions are compared with fits 32 bits.
  p.offset = std::clamp(node.attributes.integer("offset"), -p.queries - p.keys, p.queries + p.keys);
  p.query_block = kQueryBlock, p.key_block = p.causal ? kKeyBlock : block_of(p.keys);
  p.q = &body.operands[first], p.k = &body.operands[first + 1], p.v = &body.operands[first + 2];
  if (node.inputs.size() <= mask) return p;
  const TensorType& type = graph.type(node.inputs[mask]);
  StridedView& view = body.operands[mask];
  for (std::size_t d = 0; d < 4; ++d)
    if (type.shape[static_cast<int>(d)] == 1) view.strides[d] = 0;  // broadcast
  p.mask = &view;
  p.mask_type = type.dtype;
  return p;
}

double pairs_of(const AttentionProblem& p) {
  return static_cast<double>(p.batch * p.heads) * static_cast<double>(p.queries) * static_cast<double>(p.keys);
}

}  // namespace

bool is_attention(const Graph& body) {
  return std::any_of(body.nodes().begin(), body.nodes().end(), [](const Node& n) { return is_attention_op(n.op); });
}

RowsKernel make_attention(const Graph& graph, int threads, bool has_pairs) {
  RowsKernel result;
  StridedBody body = strided_body(graph, is_attention_op);
  if (body.refusal.empty()) body.refusal = refusal_of(body);
  if (!body.refusal.empty()) {
    result.refusal = body.refusal;
    return result;
  }
  AttentionProblem p = problem_of(body);
  p.pairs = has_pairs && can_be_pairs(body);
  const bool gradient = body.node->op == Op::attention_grad;
  if (gradient)
    result.scratch_bytes = build_attention_grad(result.kernel, p, body, threads);
  else
    build_attention(result.kernel, p, body);
  const double pairs = pairs_of(p) * (p.causal ? 0.5 : 1);
  const auto features = static_cast<double>(p.features), values = static_cast<double>(p.values);
  result.flops = 2 * pairs * (gradient ? 3 * features + 2 * values : features + values);
  result.body = std::move(body.body);
  return result;
}

}  // namespace weft::loops
