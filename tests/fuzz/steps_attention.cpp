// Attention: the operator, and the patterns that graph/ir/passes/attention.hpp finds.
#include <cmath>
#include <limits>

#include "tests/fuzz/drawing.hpp"

namespace weft::fuzz {
namespace {

/// Not bf16: where the processor multiplies pairs of bf16 numbers, probabilities are rounded to it, which no bound of a
/// decomposed graph knows of.
DType attention_type(Drawing& d) {
  return d.dice.pick({DType::f32, DType::f32, DType::f32, DType::f32, DType::f16, DType::f64});
}

struct Extents {
  std::int64_t batch, queries, keys, heads, groups, features, values;
};

Extents extents(Drawing& d, bool self) {
  Extents e;
  e.batch = d.dice.chance(3) ? 0 : d.dice.roll(1, 3);
  e.queries = d.dice.chance(15) ? d.dice.pick<std::int64_t>({15, 16, 17, 33, 64, 70}) : d.dice.roll(1, 9);
  e.keys = self || d.dice.chance(40)
               ? e.queries
               : (d.dice.chance(20) ? d.dice.pick<std::int64_t>({16, 31, 65}) : d.dice.roll(1, 9));
  e.groups = d.dice.roll(1, 3);
  e.heads = e.groups * (self ? 1 : d.dice.pick<std::int64_t>({1, 1, 2, 4}));
  e.features = d.dice.pick<std::int64_t>({1, 2, 3, 4, 8, 16, 17, 20});
  e.values = d.dice.chance(70) ? e.features : d.dice.roll(1, 17);
  return e;
}

/// [batch, positions, heads, features], as it stands or a view of something else.
ValueId operand(Drawing& d, DType type, std::int64_t batch, std::int64_t positions, std::int64_t heads,
                std::int64_t features) {
  GraphBuilder& b = d.b;
  switch (d.dice.roll(0, 4)) {
    case 0: return b.transpose(d.fresh(type, {batch, heads, positions, features}), {0, 2, 1, 3});
    case 1: return b.reshape(d.fresh(type, {batch, positions, heads * features}), {batch, positions, heads, features});
    case 2: {
      const std::int64_t more = d.dice.roll(0, 3);
      const ValueId whole = d.fresh(type, {batch, positions, heads, features + more + 1});
      return b.slice(whole, {0, 0, 0, more}, {batch, positions, heads, features + more}, {1, 1, 1, 1});
    }
    default: return d.fresh(type, {batch, positions, heads, features});
  }
}

/// What models add to scores to hide them.
double hiding(Drawing& d, DType type) {
  if (d.dice.chance(40)) return -std::numeric_limits<double>::infinity();
  if (type == DType::f16) return -6e4;
  return d.dice.chance(50) ? -1e9 : std::numeric_limits<float>::lowest();
}

/// Booleans, most of them true, or numbers, some of them hiding; in some masks all keys of some queries.
ValueId mask(Drawing& d, DType type, const Extents& e) {
  const auto some = [&](std::int64_t extent) { return d.dice.chance(50) ? 1 : extent; };
  const Shape shape{some(e.batch), some(e.heads), some(e.queries), e.keys};
  const bool boolean = d.dice.chance(50);
  const int hidden = static_cast<int>(d.dice.pick<std::int64_t>({0, 20, 60})), rows = d.dice.chance(30) ? 40 : 0;
  const double least = hiding(d, type);
  Tensor t(DType::f64, shape);
  const std::span<double> values = t.mutable_values<double>();
  bool row = false;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (rows > 0 && i % static_cast<std::size_t>(e.keys) == 0) row = d.dice.chance(rows);
    const bool hides = row || d.dice.chance(hidden);
    values[i] = boolean ? (hides ? 0 : 1) : hides ? least : d.dice.pick({0.0, 0.0, 0.5, -1.0});
  }
  return d.fresh(t.cast(boolean ? DType::boolean : type));
}

void operator_itself(Drawing& d) {
  const Extents e = extents(d, false);
  const DType type = attention_type(d);
  std::vector<ValueId> operands = {operand(d, type, e.batch, e.queries, e.heads, e.features),
                                   operand(d, type, e.batch, e.keys, e.groups, e.features),
                                   operand(d, type, e.batch, e.keys, e.groups, e.values)};
  if (d.dice.chance(10) && e.features == e.values) operands[2] = operands[1];
  if (d.dice.chance(40)) operands.push_back(mask(d, type, e));
  const ValueId y = d.b.node(Op::attention, std::move(operands),
                             {{"scale", d.dice.pick({1.0, 0.25, 1 / std::sqrt(static_cast<double>(e.features))})},
                              {"causal", d.dice.roll(0, 1)},
                              {"offset", d.dice.pick<std::int64_t>({0, 0, e.keys - e.queries, -1, 2})},
                              {"zero_masked", d.dice.roll(0, 1)}})[0];
  d.add(y);
  if (d.dice.chance(50)) d.add(d.b.reshape(y, {e.batch, e.queries, e.heads * e.values}));
  if (d.dice.chance(30)) d.add(d.b.transpose(y, {0, 2, 1, 3}));
}

/// A constant triangle, added or selected, or a mask that is fed, or none.
ValueId masked(Drawing& d, ValueId scores, const Extents& e) {
  GraphBuilder& b = d.b;
  const DType type = b.dtype(scores);
  const double least = hiding(d, type);
  const Shape square{1, 1, e.queries, e.keys};
  switch (d.dice.roll(0, 3)) {
    case 0: {
      const ValueId seen = b.binary(Op::less_equal, b.iota(DType::i64, square, 3), b.iota(DType::i64, square, 2));
      return b.select(seen, scores, b.full(type, b.shape(scores), least));
    }
    case 1: {
      Tensor t(DType::f64, square);
      for (std::int64_t i = 0; i < e.queries; ++i)
        for (std::int64_t j = i + 1; j < e.keys; ++j)
          t.mutable_values<double>()[static_cast<std::size_t>(i * e.keys + j)] = least;
      return b.add(scores, b.constant(t.cast(type)));
    }
    case 2: {
      const ValueId m = mask(d, type, e);
      return b.dtype(m) == DType::boolean ? b.select(m, scores, b.full(type, b.shape(scores), least))
                                          : b.add(scores, m);
    }
    default: return scores;
  }
}

/// As model builders write it: heads split off one projection, products, a softmax, products, heads joined.
void pattern(Drawing& d) {
  GraphBuilder& b = d.b;
  Extents e = extents(d, true);
  e.values = e.features;
  const DType type = attention_type(d);
  const std::int64_t width = e.heads * e.features;
  const ValueId x = d.fresh(type, {e.batch, e.queries, width});
  d.add(x);
  const bool joined = d.dice.chance(50);
  const ValueId qkv = joined ? b.matmul(x, d.weight(type, {width, 3 * width})) : kNone;
  const auto part = [&](std::int64_t i) {
    const ValueId p = joined ? b.slice(qkv, {0, 0, i * width}, {e.batch, e.queries, (i + 1) * width}, {1, 1, 1})
                             : b.matmul(x, d.weight(type, {width, width}));
    return b.transpose(b.reshape(p, {e.batch, e.queries, e.heads, e.features}), {0, 2, 1, 3});
  };
  const ValueId k = part(1), v = part(2);
  ValueId q = part(0);
  const double scale = 1 / std::sqrt(static_cast<double>(e.features));
  const bool early = d.dice.chance(40);
  if (early) q = b.mul(q, b.like(q, scale));
  ValueId scores = b.dot(q, k, {0, 1}, {0, 1}, {3}, {3});
  if (!early) scores = b.mul(scores, b.like(scores, scale));
  scores = masked(d, scores, e);
  const ValueId p = b.one(Op::softmax, {scores}, {{"axis", std::int64_t{3}}});
  if (d.dice.chance(8)) d.add(p);  // read elsewhere: then it stays as it is
  const ValueId y = b.transpose(b.dot(p, v, {0, 1}, {0, 1}, {3}, {2}), {0, 2, 1, 3});
  d.add(b.matmul(b.reshape(y, {e.batch, e.queries, width}), d.weight(type, {width, d.dice.chance(70) ? width : 5})));
}

}  // namespace

void draw_attention(Drawing& d) {
  d.has_attention = true;
  d.dice.chance(50) ? operator_itself(d) : pattern(d);
}

}  // namespace weft::fuzz
