// Attention (opset 23 on) and rotary position embeddings.
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "graph/onnx/importer.hpp"
#include "graph/onnx/ops/heads.hpp"
#include "graph/onnx/ops/table.hpp"

namespace weft::onnx {
namespace {

using Values = std::vector<ValueId>;

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

/// Query positions count from `offset`: one for all samples, or (a value of [batch]) one each.
struct Offset {
  std::int64_t common = 0;
  ValueId each = kNone;
};

/// i64 [batch or 1, 1, queries, keys]: the key's position minus the query's.
ValueId distances(GraphBuilder& b, const Shape& scores, const Offset& offset) {
  const bool each = offset.each != kNone;
  const Shape shape{each ? scores[0] : 1, 1, scores[2], scores[3]};
  ValueId distance = b.sub(b.iota(DType::i64, shape, 3), b.iota(DType::i64, shape, 2));
  if (each) return b.sub(distance, b.broadcast_in(b.cast(offset.each, DType::i64), shape, {0}));
  return offset.common == 0 ? distance : b.sub(distance, b.like(distance, static_cast<double>(offset.common)));
}

/// 0 where `allowed`, -infinity elsewhere.
ValueId bias_of(GraphBuilder& b, ValueId allowed, DType type) {
  const Shape shape = b.shape(allowed);
  return b.select(allowed, b.full(type, shape, 0), b.full(type, shape, kMinusInfinity));
}

ValueId added(GraphBuilder& b, ValueId bias, ValueId more) { return bias == kNone ? more : b.add(bias, more); }

/// The file's mask as an additive bias; keys that it does not reach are masked.
ValueId mask_bias(OpContext& c, const Shape& scores, DType type) {
  GraphBuilder& b = c.b;
  ValueId mask = c.in(3);
  if (b.shape(mask).rank() > 4) OpContext::unsupported("the mask has more than four dimensions");
  mask = b.dtype(mask) == DType::boolean ? bias_of(b, mask, type) : b.cast(mask, type);
  const int rank = b.shape(mask).rank();
  const std::int64_t missing = rank == 0 ? 0 : scores[3] - b.shape(mask)[rank - 1];
  if (missing <= 0 || b.shape(mask)[rank - 1] == 1) return mask;
  Dims zero(static_cast<std::size_t>(rank), 0), high = zero;
  high.back() = missing;
  return b.pad(mask, b.full(type, Shape{}, kMinusInfinity), zero, high, zero);
}

/// Everything that masks, as one additive bias, but for what attention masks itself where `is_causal` is false; kNone
/// when nothing does. `may_mask_all`: a query may have no key left.
ValueId total_bias(OpContext& c, const Shape& scores, DType type, const Offset& offset, bool is_causal,
                   bool* may_mask_all) {
  GraphBuilder& b = c.b;
  ValueId bias = c.has(3) ? mask_bias(c, scores, type) : kNone;
  *may_mask_all = c.has(3) || c.has(6) || offset.common < 0;
  const std::int64_t left = c.integer("left_window_size", -1), right = c.integer("right_window_size", -1);
  if (left < -1 || right < -1) OpContext::unsupported("a window size is below -1");
  const auto within = [&](Op compare, std::int64_t limit) {
    const ValueId distance = distances(b, scores, offset);
    bias = added(b, bias, bias_of(b, b.binary(compare, distance, b.like(distance, static_cast<double>(limit))), type));
  };
  if (is_causal) within(Op::less_equal, 0);
  if (left >= 0) within(Op::greater_equal, -left), *may_mask_all = true;
  if (right >= 0) within(Op::less_equal, right), *may_mask_all = true;
  if (c.has(6)) {
    const Shape shape{scores[0], 1, 1, scores[3]};
    const ValueId position = b.iota(DType::i64, shape, 3);
    const ValueId limit = b.broadcast_in(b.cast(c.in(6), DType::i64), shape, {0});
    bias = added(b, bias, bias_of(b, b.binary(Op::less, position, limit), type));
  }
  return bias;
}

/// Probabilities over the last axis; a query without any key gets zeros, in the gradient too.
ValueId probabilities(GraphBuilder& b, ValueId scores, ValueId bias, bool may_mask_all, DType precision) {
  const Attributes last = {{"axis", std::int64_t{b.shape(scores).rank() - 1}}};
  if (bias == kNone || !may_mask_all)
    return b.one(Op::softmax, {b.cast(bias == kNone ? scores : b.add(scores, bias), precision)}, last);
  const ValueId most = b.reduce(Op::reduce_max, bias, {b.shape(bias).rank() - 1}, true);
  const ValueId nothing = b.binary(Op::equal, most, b.like(most, kMinusInfinity));
  const ValueId safe = b.add(scores, b.select(nothing, b.full(b.dtype(bias), Shape{}, 0), bias));
  const ValueId soft = b.one(Op::softmax, {b.cast(safe, precision)}, last);
  return b.select(nothing, b.full(precision, Shape{}, 0), soft);
}

ValueId softcapped(GraphBuilder& b, ValueId x, double cap) {
  return b.mul(b.unary(Op::tanh, b.div(x, b.like(x, cap))), b.like(x, cap));
}

DType precision_of(OpContext& c, DType type) {
  if (!c.has_attribute("softmax_precision")) return type;
  return dtype_of_onnx(static_cast<std::int32_t>(c.integer("softmax_precision", 0)), "attribute 'softmax_precision'");
}

/// Whether the operator `attention` computes what the node says: its results, in f32 or wider.
bool is_plain(OpContext& c, ValueId q, ValueId k) {
  const DType type = c.b.dtype(q), precision = precision_of(c, type);
  const Shape &queries = c.b.shape(q), &keys = c.b.shape(k);
  const bool wide = precision == type || precision == DType::f32;
  return !c.wants(3) && c.number("softcap", 0) == 0 && wide && queries.rank() == 4 && keys.rank() == 4 && keys[2] > 0 &&
         queries[3] > 0 && keys[1] > 0 && queries[1] % keys[1] == 0;
}

/// y [batch, heads, queries, values] from operands of such dimensions.
ValueId plain_attention(OpContext& c, ValueId q, ValueId k, ValueId v, double scale, const Offset& offset) {
  GraphBuilder& b = c.b;
  const auto positions_first = [&](ValueId x) { return b.transpose(x, {0, 2, 1, 3}); };
  const Shape scores{b.shape(q)[0], b.shape(q)[1], b.shape(q)[2], b.shape(k)[2]};
  const bool causal = c.integer("is_causal", 0) != 0, apart = causal && offset.each == kNone;
  bool may_mask_all = false;
  ValueId bias = total_bias(c, scores, b.dtype(q), offset, causal && !apart, &may_mask_all);
  Values operands = {positions_first(q), positions_first(k), positions_first(v)};
  if (bias != kNone) {
    Dims extents(4 - b.shape(bias).extents().size(), 1);
    for (const std::int64_t e : b.shape(bias)) extents.push_back(e);
    bias = b.reshape(bias, Shape(extents));
    operands.push_back(b.broadcast_to(bias, Shape{extents[0], extents[1], extents[2], scores[3]}));
  }
  const Values made = b.node(Op::attention, std::move(operands),
                             {{"scale", scale},
                              {"causal", std::int64_t{apart}},
                              {"offset", offset.common},
                              {"zero_masked", std::int64_t{may_mask_all}}});
  return positions_first(made[0]);
}

Values import_attention(OpContext& c) {
  GraphBuilder& b = c.b;
  if (c.has(4) != c.has(5)) OpContext::unsupported("past_key and past_value come together");
  if (c.has(4) && c.has(6)) OpContext::unsupported("nonpad_kv_seqlen does not go with past keys");
  const bool flat = c.rank(0) == 3;
  const ValueId q = to_heads(c, c.in(0), "q_num_heads");
  ValueId k = to_heads(c, c.in(1), "kv_num_heads"), v = to_heads(c, c.in(2), "kv_num_heads");
  if (c.has(4)) k = b.concat({c.in(4), k}, 2), v = b.concat({c.in(5), v}, 2);
  const Values present = {k, v};
  const std::int64_t heads = b.shape(q)[1];
  const DType type = b.dtype(q);
  const double scale = c.number("scale", 1 / std::sqrt(static_cast<double>(b.shape(q)[3])));
  Offset offset;
  if (c.has(4)) offset.common = c.shape(4)[2];
  if (c.has(6))
    offset.each =
        b.sub(b.cast(c.in(6), DType::i64), b.full(DType::i64, c.shape(6), static_cast<double>(b.shape(q)[2])));
  if (is_plain(c, q, k)) {
    const ValueId y = plain_attention(c, q, k, v, scale, offset);
    return {flat ? from_heads(b, y) : y, present[0], present[1], kNone};
  }
  k = repeated_heads(b, k, heads), v = repeated_heads(b, v, heads);
  // Half of the scale on each side: sums of 16-bit products stay in range.
  const auto scaled = [&](ValueId x) { return b.mul(x, b.like(x, std::sqrt(scale))); };
  ValueId scores = b.matmul(scaled(q), b.transpose(scaled(k), {0, 1, 3, 2}));
  const ValueId raw = scores;
  if (const double cap = c.number("softcap", 0); cap > 0) scores = softcapped(b, scores, cap);
  const ValueId capped = scores;
  const Shape shape = b.shape(scores);
  bool may_mask_all = false;
  const ValueId bias = total_bias(c, shape, type, offset, c.integer("is_causal", 0) != 0, &may_mask_all);
  const ValueId p = b.cast(probabilities(b, scores, bias, may_mask_all, precision_of(c, type)), type);
  const ValueId y = b.matmul(p, v);
  Values results = {flat ? from_heads(b, y) : y, present[0], present[1], kNone};
  if (c.wants(3)) {
    const ValueId by_mode[] = {raw, capped, bias == kNone ? capped : b.add(capped, bias), p};
    const std::int64_t mode = c.integer("qk_matmul_output_mode", 0);
    if (mode < 0 || mode > 3) OpContext::unsupported(fmt::format("qk_matmul_output_mode {}", mode));
    results[3] = by_mode[mode];
  }
  return results;
}

/// A cache of angles as [batch or 1, sequence, 1, half]: rows at given positions, or as it comes.
ValueId angles(OpContext& c, int i, std::int64_t half) {
  GraphBuilder& b = c.b;
  ValueId cache = c.in(i);
  if (c.has(3)) cache = b.one(Op::gather, {cache, b.cast(c.in(3), DType::i64)}, {{"axis", std::int64_t{0}}});
  const Shape shape = b.shape(cache);
  if (shape.rank() != 3 || shape[2] != half)
    OpContext::unsupported(fmt::format("a cache of shape {} does not fit {} rotated pairs", shape.str(), half));
  return b.reshape(cache, Shape{shape[0], shape[1], 1, half});
}

Values import_rotary_embedding(OpContext& c) {
  GraphBuilder& b = c.b;
  const Shape given = c.shape(0);
  const std::int64_t heads = given.rank() == 4 ? given[1] : c.integer("num_heads", 0);
  if ((given.rank() != 3 && given.rank() != 4) || heads < 1 || (given.rank() == 3 && given[2] % heads != 0))
    OpContext::unsupported(fmt::format("num_heads {} does not fit an operand of shape {}", heads, given.str()));
  // [batch, sequence, heads, size]
  const ValueId x = given.rank() == 4 ? b.transpose(c.in(0), {0, 2, 1, 3})
                                      : b.reshape(c.in(0), Shape{given[0], given[1], heads, given[2] / heads});
  const Shape shape = b.shape(x);
  std::int64_t turned = c.integer("rotary_embedding_dim", 0);
  if (turned == 0) turned = shape[3];
  if (turned < 0 || turned > shape[3] || turned % 2 != 0)
    OpContext::unsupported(fmt::format("rotary_embedding_dim {} does not fit heads of {}", turned, shape[3]));
  const std::int64_t half = turned / 2;
  const ValueId cosine = angles(c, 1, half), sine = angles(c, 2, half);
  const bool interleaved = c.integer("interleaved", 0) != 0;
  const auto part = [&](std::int64_t start, std::int64_t limit, std::int64_t stride) {
    return b.slice(x, {0, 0, 0, start}, {shape[0], shape[1], shape[2], limit}, {1, 1, 1, stride});
  };
  const ValueId x1 = interleaved ? part(0, turned, 2) : part(0, half, 1);
  const ValueId x2 = interleaved ? part(1, turned, 2) : part(half, turned, 1);
  const ValueId real = b.sub(b.mul(cosine, x1), b.mul(sine, x2)), imaginary = b.add(b.mul(sine, x1), b.mul(cosine, x2));
  ValueId y = kNone;
  if (interleaved) {
    const Shape pairs{shape[0], shape[1], shape[2], half, 1};
    y = b.reshape(b.concat({b.reshape(real, pairs), b.reshape(imaginary, pairs)}, 4),
                  Shape{shape[0], shape[1], shape[2], turned});
  } else {
    y = b.concat({real, imaginary}, 3);
  }
  if (turned < shape[3]) y = b.concat({y, part(turned, shape[3], 1)}, 3);
  return {given.rank() == 4 ? b.transpose(y, {0, 2, 1, 3}) : b.reshape(y, given)};
}

/// Attention whose scores and probabilities subgraphs change.
Values import_flex_attention(OpContext& c) {
  GraphBuilder& b = c.b;
  const ValueId q = c.in(0);
  if (c.rank(0) != 4 || c.rank(1) != 4 || c.rank(2) != 4) OpContext::unsupported("operands need four dimensions");
  const std::int64_t heads = b.shape(q)[1];
  const ValueId k = repeated_heads(b, c.in(1), heads), v = repeated_heads(b, c.in(2), heads);
  const DType type = b.dtype(q);
  const DType precision = c.has_attribute("softmax_precision") ? precision_of(c, type)
                          : type == DType::f64                 ? type
                                                               : DType::f32;
  const double scale = c.number("scale", 1 / std::sqrt(static_cast<double>(b.shape(q)[3])));
  const auto changed = [&](ValueId x, const char* attribute) {
    if (!c.has_attribute(attribute)) return x;
    const Values made = c.importer().import_subgraph(c.graph(attribute), {x});
    if (made.size() != 1 || !is_tensor(made[0]) || b.type(made[0]) != b.type(x))
      OpContext::unsupported(fmt::format("subgraph '{}' must return one tensor like the one it takes", attribute));
    return made[0];
  };
  ValueId scores = b.matmul(b.cast(q, precision), b.transpose(b.cast(k, precision), {0, 1, 3, 2}));
  scores = changed(b.mul(scores, b.like(scores, scale)), "score_mod");
  ValueId p = b.one(Op::softmax, {scores}, {{"axis", std::int64_t{3}}});
  p = changed(p, "prob_mod");
  return {b.cast(b.matmul(p, b.cast(v, precision)), type)};
}

constexpr OpRow kAttentionRows[] = {
    {"Attention", import_attention, 23},
    {"RotaryEmbedding", import_rotary_embedding, 23},
    {"FlexAttention", import_flex_attention, 1, kNewestOpset, "ai.onnx.preview"},
};

}  // namespace

std::span<const OpRow> attention_rows() { return kAttentionRows; }

}  // namespace weft::onnx
