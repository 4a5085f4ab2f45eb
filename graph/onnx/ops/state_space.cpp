// Layers that carry a state from step to step: linear attention, causal convolutions, caches written in place.
#include <fmt/format.h>

#include <cmath>

#include "graph/onnx/ops/heads.hpp"
#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

// Each step is nodes of its own.
constexpr std::int64_t kMostSteps = 4096;

/// Step `t` of [batch, heads, steps, size], as [batch, heads, size].
ValueId at_step(GraphBuilder& b, ValueId x, std::int64_t t) {
  const Shape shape = b.shape(x);
  const ValueId part = b.slice(x, {0, 0, t, 0}, {shape[0], shape[1], t + 1, shape[3]}, {1, 1, 1, 1});
  return b.reshape(part, Shape{shape[0], shape[1], shape[3]});
}

ValueId with_axis(GraphBuilder& b, ValueId x, int axis) {
  Dims extents = b.shape(x).extents();
  extents.insert(extents.begin() + axis, 1);
  return b.reshape(x, Shape(extents));
}

/// [batch, steps, heads * n] as [batch, heads, steps, n].
ValueId per_head(OpContext& c, int i, std::int64_t heads) {
  const Shape shape = c.shape(i);
  if (shape.rank() != 3 || shape[2] % heads != 0)
    OpContext::unsupported(fmt::format("operand {} of shape {} does not hold {} heads", i, shape.str(), heads));
  return c.b.transpose(c.b.reshape(c.b.wide(c.in(i)), Shape{shape[0], shape[1], heads, shape[2] / heads}),
                       {0, 2, 1, 3});
}

/// A state [batch, heads, key, value] that each step decays, writes to and reads from.
Values import_linear_attention(OpContext& c) {
  GraphBuilder& b = c.b;
  const std::string rule = c.text("update_rule", "gated_delta");
  const bool gated = rule == "gated" || rule == "gated_delta", delta = rule == "delta" || rule == "gated_delta";
  const std::int64_t query_heads = c.integer("q_num_heads", 0), heads = c.integer("kv_num_heads", 0);
  if (!gated && !delta && rule != "linear") OpContext::unsupported("unknown update_rule '" + rule + "'");
  if (query_heads < 1 || heads < 1 || query_heads % heads != 0)
    OpContext::unsupported(fmt::format("{} query heads cannot share {} heads", query_heads, heads));
  if (gated != c.has(4) || delta != c.has(5))
    OpContext::unsupported("decay belongs to gated rules, beta to delta rules, and neither to others");
  const ValueId q = per_head(c, 0, query_heads), k = per_head(c, 1, heads), v = per_head(c, 2, heads);
  const ValueId decay = gated ? b.unary(Op::exp, per_head(c, 4, heads)) : kNone;
  const ValueId beta = !delta ? kNone : per_head(c, 5, c.shape(5)[c.rank(5) - 1] == 1 ? 1 : heads);
  const Shape qs = b.shape(q), ks = b.shape(k), vs = b.shape(v);
  if (qs[2] > kMostSteps || qs[2] < 1)
    OpContext::unsupported(fmt::format("{} steps; 1 to {} are supported", qs[2], kMostSteps));
  double scale = c.number("scale", 0);
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(qs[3]));
  const Shape held{qs[0], heads, ks[3], vs[3]};
  const DType type = c.dtype(0), state_type = c.has(3) ? c.dtype(3) : type;
  ValueId state = c.has(3) ? b.cast(c.in(3), b.dtype(q)) : b.full(b.dtype(q), held, 0);
  Values outputs;
  for (std::int64_t t = 0; t < qs[2]; ++t) {
    const ValueId key = at_step(b, k, t);
    ValueId value = at_step(b, v, t);
    if (gated) state = b.mul(state, with_axis(b, at_step(b, decay, t), 3));
    if (delta) {
      const ValueId found = b.reshape(b.matmul(with_axis(b, key, 2), state), b.shape(value));
      value = b.mul(at_step(b, beta, t), b.sub(value, found));
    }
    state = b.add(state, b.mul(with_axis(b, key, 3), with_axis(b, value, 2)));
    outputs.push_back(b.matmul(with_axis(b, at_step(b, q, t), 2), repeated_heads(b, state, query_heads)));
  }
  const ValueId y = b.concat(outputs, 2);
  return {b.cast(from_heads(b, b.mul(y, b.like(y, scale))), type), b.cast(state, state_type)};
}

/// A depthwise convolution over what came before: y, and the last steps for the next call.
Values import_causal_conv(OpContext& c) {
  GraphBuilder& b = c.b;
  const Shape x = c.shape(0), w = c.shape(1);
  const std::string activation = c.text("activation", "none");
  if (x.rank() != 3 || w.rank() != 3 || w[0] != x[1] || w[1] != 1 || w[2] < 1)
    OpContext::unsupported(fmt::format("a filter of shape {} does not fit an operand of shape {}", w.str(), x.str()));
  if (activation != "none" && activation != "silu" && activation != "swish")
    OpContext::unsupported("unknown activation '" + activation + "'");
  const std::int64_t before = w[2] - 1;
  const ValueId past = c.has(3) ? c.in(3) : b.full(c.dtype(0), Shape{x[0], x[1], before}, 0);
  const ValueId padded = b.concat({past, c.in(0)}, 2);
  ValueId y = b.conv(padded, c.in(1), {{1}, {0}, {0}, {1}, x[1]});
  if (c.has(2)) y = b.add(y, b.broadcast_in(c.in(2), b.shape(y), {1}));
  if (activation != "none") y = b.cast(b.unary(Op::silu, b.wide(y)), c.dtype(0));
  const Shape all = b.shape(padded);
  return {y, b.slice(padded, {0, 0, all[2] - before}, all.extents(), {1, 1, 1})};
}

/// A cache [batch, ...] with new rows written from one position a sample on, round the end where it is circular.
Values import_tensor_scatter(OpContext& c) {
  GraphBuilder& b = c.b;
  const Shape cache = c.shape(0), update = c.shape(1);
  const int axis = c.axis(-2, cache.rank());
  const std::string mode = c.text("mode", "linear");
  if (mode != "linear" && mode != "circular") OpContext::unsupported("unknown mode '" + mode + "'");
  if (axis == 0 || update.rank() != cache.rank() || update[axis] > cache[axis])
    OpContext::unsupported(
        fmt::format("an update of shape {} does not fit a cache of shape {}", update.str(), cache.str()));
  ValueId place = b.iota(DType::i64, update, axis);
  if (c.has(2)) place = b.add(place, b.broadcast_in(b.cast(c.in(2), DType::i64), update, {0}));
  if (mode == "circular") place = b.binary(Op::rem, place, b.like(place, static_cast<double>(cache[axis])));
  return {b.one(Op::scatter_elements, {c.in(0), place, c.in(1)},
                {{"axis", std::int64_t{axis}}, {"kind", std::string("replace")}})};
}

constexpr OpRow kStateSpaceRows[] = {
    {"LinearAttention", import_linear_attention},
    {"CausalConvWithState", import_causal_conv},
    {"TensorScatter", import_tensor_scatter, 24},
};

}  // namespace

std::span<const OpRow> state_space_rows() { return kStateSpaceRows; }

}  // namespace weft::onnx
