// Attention: softmax(scale q k' + mask) v, head by head, and its gradient.
//
// The gradient takes two numbers a row from the forward pass, the greatest score and the reciprocal of the sum of
// exponentials, and makes the probabilities again from them (Dao, FlashAttention-2, arXiv 2307.08691): with
// P = exp(S - most) * share and delta = rows of sum(dy * y), dv = P' dy, dS = P * (dy v' - delta), dq = scale dS k,
// dk = scale dS' q. One number, the logarithm of the sum, would not do: where masks of -1e9 hide all keys of a row, the
// sum of that and the logarithm of their count is -1e9 in f32.
#include <fmt/format.h>

#include <limits>

#include "graph/ir/ops/check.hpp"
#include "graph/ir/ops/families.hpp"

namespace weft::ops {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

DType wide_type(DType type) { return type == DType::f64 ? type : DType::f32; }

/// q, k and v from operand `first` on, and the mask where operand `mask` exists.
void check_operands(const Check& check, int first, int mask, std::size_t count) {
  for (int i = first; i < first + 3; ++i) {
    check.floating(i);
    check.same_dtype(first, i);
    check.that(check.shape(i).rank() == 4, "q, k and v have four dimensions: batch, position, head, feature");
    check.that(check.shape(i)[0] == check.shape(first)[0], "q, k and v differ in batch");
  }
  const Shape &q = check.shape(first), &k = check.shape(first + 1), &v = check.shape(first + 2);
  check.that(k[1] == v[1] && k[2] == v[2], "k and v differ in positions or heads");
  check.that(q[3] == k[3], "q and k differ in features");
  check.that(k[2] > 0 ? q[2] % k[2] == 0 : q[2] == 0, "the heads of k and v do not divide those of q");
  check.that(q[3] > 0 && k[1] > 0, "there are no keys, or they are empty");
  check.number("scale", -1e30, 1e30);
  check.flag("causal");
  check.flag("zero_masked");
  check.integer("offset", -Check::kLargest, Check::kLargest);
  if (count <= static_cast<std::size_t>(mask)) return;
  const DType type = check.dtype(mask);
  check.that(type == DType::boolean || type == check.dtype(first) || type == wide_type(check.dtype(first)),
             "the mask is neither of booleans nor of floats like q");
  const Shape& m = check.shape(mask);
  const Shape scores{q[0], q[2], q[1], k[1]};
  check.that(m.rank() == 4 && m[3] == k[1], "the mask is not [batch or 1, heads or 1, queries or 1, keys]");
  for (int d = 0; d < 3; ++d) check.that(m[d] == 1 || m[d] == scores[d], "the mask does not broadcast to the scores");
}

std::vector<TensorType> infer_attention(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(operands.size() == 4 ? 4 : 3, {"scale", "causal", "offset", "zero_masked"});
  check_operands(check, 0, 3, operands.size());
  const Shape &q = check.shape(0), &v = check.shape(2);
  const TensorType rows{wide_type(check.dtype(0)), {q[0], q[2], q[1]}};
  return {{check.dtype(0), {q[0], q[1], q[2], v[3]}}, rows, rows};
}

std::vector<TensorType> infer_attention_grad(const Node& node, std::span<const TensorType> operands) {
  const Check check(node, operands);
  check.signature(operands.size() == 8 ? 8 : 7, {"scale", "causal", "offset", "zero_masked"});
  check_operands(check, 1, 7, operands.size());
  const Shape &q = check.shape(1), &v = check.shape(3);
  const TensorType y{check.dtype(1), {q[0], q[1], q[2], v[3]}};
  check.that(check.operand(0) == y && check.operand(4) == y, "dy and y are not like the result");
  const TensorType rows{wide_type(y.dtype), {q[0], q[2], q[1]}};
  check.that(check.operand(5) == rows && check.operand(6) == rows, "most and share are not [batch, heads, queries]");
  return {check.operand(1), check.operand(2), check.operand(3)};
}

/// Key and value heads, each repeated for the query heads that share it.
ValueId repeated(GraphBuilder& b, ValueId x, std::int64_t heads) {
  const Shape s = b.shape(x);
  if (s[2] == heads) return x;
  return b.reshape(b.broadcast_in(x, {s[0], s[1], s[2], heads / s[2], s[3]}, {0, 1, 2, 4}), {s[0], s[1], heads, s[3]});
}

/// The sum over the query heads that share a key's or value's.
ValueId gathered(GraphBuilder& b, ValueId x, std::int64_t heads) {
  const Shape s = b.shape(x);
  if (s[2] == heads) return x;
  return b.reduce(Op::reduce_sum, b.reshape(x, {s[0], s[1], heads, s[2] / heads, s[3]}), {3});
}

/// [batch, heads, queries, keys]: scaled, masked scores. `k` has as many heads as `q`.
ValueId scores_of(GraphBuilder& b, const Node& node, ValueId q, ValueId k, ValueId mask) {
  const Attributes& a = node.attributes;
  ValueId s = b.dot(q, k, {0, 2}, {0, 2}, {3}, {3});
  s = b.mul(s, b.like(s, a.number("scale")));
  const ValueId nothing = b.like(s, kMinusInfinity);
  if (mask != kNone)
    s = b.dtype(mask) == DType::boolean ? b.select(mask, s, nothing) : b.add(s, b.cast(mask, b.dtype(s)));
  if (a.integer("causal") == 0) return s;
  const Shape square{1, 1, b.shape(s)[2], b.shape(s)[3]};
  const ValueId last =
      b.add(b.iota(DType::i64, square, 2), b.constant(Tensor::scalar<std::int64_t>(a.integer("offset"))));
  return b.select(b.binary(Op::less_equal, b.iota(DType::i64, square, 3), last), s, nothing);
}

ValueId by_head(GraphBuilder& b, ValueId x) { return b.transpose(x, {0, 2, 1, 3}); }

std::vector<ValueId> decompose_attention(GraphBuilder& b, const Node& node) {
  const DType type = b.dtype(node.inputs[0]), wide = wide_type(type);
  const ValueId q = b.cast(node.inputs[0], wide);
  const std::int64_t heads = b.shape(q)[2];
  const ValueId k = repeated(b, b.cast(node.inputs[1], wide), heads),
                v = repeated(b, b.cast(node.inputs[2], wide), heads);
  const ValueId s = scores_of(b, node, q, k, node.inputs.size() > 3 ? node.inputs[3] : kNone);
  const ValueId most = b.reduce(Op::reduce_max, s, {3}, true);
  const ValueId e = b.unary(Op::exp, b.sub(s, most));
  const ValueId sum = b.reduce(Op::reduce_sum, e, {3}, true);
  ValueId p = b.div(e, sum), greatest = most, share = b.unary(Op::reciprocal, sum);
  if (node.attributes.integer("zero_masked") != 0) {
    const ValueId empty = b.binary(Op::equal, most, b.like(most, kMinusInfinity)), nothing = b.like(most, 0);
    p = b.select(empty, b.like(p, 0), p);
    greatest = b.select(empty, nothing, most);
    share = b.select(empty, nothing, share);
  }
  const Shape s_shape = b.shape(s), rows{s_shape[0], s_shape[1], s_shape[2]};
  const ValueId y = by_head(b, b.dot(p, v, {0, 1}, {0, 2}, {3}, {1}));
  return {b.cast(y, type), b.reshape(greatest, rows), b.reshape(share, rows)};
}

std::vector<ValueId> decompose_attention_grad(GraphBuilder& b, const Node& node) {
  const DType type = b.dtype(node.inputs[0]), wide = wide_type(type);
  const auto in = [&](std::size_t i) { return b.cast(node.inputs[i], wide); };
  const ValueId dy = in(0), q = in(1), y = in(4);
  const std::int64_t heads = b.shape(q)[2], shared = b.shape(node.inputs[2])[2];
  const ValueId k = repeated(b, in(2), heads), v = repeated(b, in(3), heads);
  const ValueId s = scores_of(b, node, q, k, node.inputs.size() > 7 ? node.inputs[7] : kNone);
  const Shape rows = b.shape(s).with(3, 1);
  const ValueId e = b.unary(Op::exp, b.sub(s, b.reshape(node.inputs[5], rows)));
  const ValueId p = b.mul(e, b.reshape(node.inputs[6], rows));
  const ValueId delta = b.transpose(b.reduce(Op::reduce_sum, b.mul(dy, y), {3}), {0, 2, 1});
  const ValueId dp = b.dot(dy, v, {0, 2}, {0, 2}, {3}, {3});
  ValueId ds = b.mul(p, b.sub(dp, b.reshape(delta, rows)));
  ds = b.mul(ds, b.like(ds, node.attributes.number("scale")));
  const ValueId dq = by_head(b, b.dot(ds, k, {0, 1}, {0, 2}, {3}, {1}));
  const ValueId dk = by_head(b, b.dot(ds, q, {0, 1}, {0, 2}, {2}, {1}));
  const ValueId dv = by_head(b, b.dot(p, dy, {0, 1}, {0, 2}, {2}, {1}));
  return {b.cast(dq, type), b.cast(gathered(b, dk, shared), type), b.cast(gathered(b, dv, shared), type)};
}

/// Of q, k and v; whoever wants that of the mask, or of a row's numbers, takes the decomposition's (autodiff.cpp).
std::vector<ValueId> gradient_attention(const GradientContext& c) {
  std::vector<ValueId> operands = {c.grad(),    c.operand(0), c.operand(1), c.operand(2),
                                   c.result(0), c.result(1),  c.result(2)};
  if (c.node.inputs.size() > 3) operands.push_back(c.operand(3));
  std::vector<ValueId> grads = c.builder.node(Op::attention_grad, std::move(operands), c.node.attributes);
  if (c.node.inputs.size() > 3) grads.push_back(kNone);
  return grads;
}

}  // namespace

std::vector<OpRules> attention_rules() {
  return {
      {.op = Op::attention, .infer = infer_attention, .gradient = gradient_attention, .decompose = decompose_attention},
      {.op = Op::attention_grad, .infer = infer_attention_grad, .decompose = decompose_attention_grad},
  };
}

}  // namespace weft::ops
