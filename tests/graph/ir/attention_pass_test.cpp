// Attention is found in the forms in which it is written, and computes what was there.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/attention.hpp"

namespace weft {
namespace {

using I = std::int64_t;
constexpr I kBatch = 2, kHeads = 3, kTokens = 5, kSize = 4;
constexpr double kLeast = -std::numeric_limits<double>::infinity();

ValueId feed(GraphBuilder& b, const char* name, Shape shape, DType type = DType::f32) {
  return b.input(name, InputRole::feed, {type, std::move(shape)});
}
Attributes last_of(GraphBuilder& b, ValueId v) { return {{"axis", I{b.shape(v).rank() - 1}}}; }
ValueId softmax(GraphBuilder& b, ValueId s) { return b.one(Op::softmax, {s}, last_of(b, s)); }
ValueId scaled(GraphBuilder& b, ValueId x, double by) { return b.mul(x, b.like(x, by)); }

/// [batch, tokens, heads * size] as [batch, heads, tokens, size], or with the last two swapped.
ValueId by_head(GraphBuilder& b, ValueId x, const Dims& order = {0, 2, 1, 3}) {
  return b.transpose(b.reshape(x, {kBatch, kTokens, kHeads, kSize}), order);
}
ValueId joined(GraphBuilder& b, ValueId y) {
  return b.reshape(b.transpose(y, {0, 2, 1, 3}), {kBatch, kTokens, kHeads * kSize});
}

Tensor triangle(double hidden, I offset = 0) {
  Tensor t(DType::f32, {1, 1, kTokens, kTokens});
  for (I i = 0; i < kTokens; ++i)
    for (I j = i + offset + 1; j < kTokens; ++j)
      t.mutable_values<float>()[static_cast<std::size_t>(i * kTokens + j)] = static_cast<float>(hidden);
  return t;
}

struct Projections {
  ValueId q, k, v;
};
Projections projections(GraphBuilder& b) {
  const Shape whole{kBatch, kTokens, kHeads * kSize};
  return {feed(b, "q", whole), feed(b, "k", whole), feed(b, "v", whole)};
}

const Node* attention_in(const Graph& graph) {
  const Node* found = nullptr;
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::attention) found = &node;
    EXPECT_NE(node.op, Op::softmax);
  }
  return found;
}

void expect_same_values(const Graph& before, const Graph& after) {
  std::mt19937 engine(1);
  std::map<std::string, Tensor> inputs;
  for (const GraphInput& i : before.inputs()) {
    Tensor t(DType::f32, before.type(i.value).shape);
    for (float& x : t.mutable_values<float>()) x = std::normal_distribution<float>()(engine);
    if (before.type(i.value).dtype == DType::boolean)
      for (float& x : t.mutable_values<float>()) x = x > -1 ? 1.0F : 0.0F;
    inputs[i.name] = t.cast(before.type(i.value).dtype);
  }
  const Tensor want = interpret(before, inputs).at("y"), got = interpret(after, inputs).at("y");
  ASSERT_EQ(got.shape(), want.shape());
  for (I i = 0; i < want.elements(); ++i) {
    if (std::isnan(want.as_double(i)) && std::isnan(got.as_double(i))) continue;
    ASSERT_NEAR(got.as_double(i), want.as_double(i), 1e-5 * (1 + std::abs(want.as_double(i)))) << "element " << i;
  }
}

/// The one attention found, after its values were compared.
Attributes found_in(GraphBuilder b, ValueId y, std::size_t operands = 3) {
  b.output("y", OutputRole::fetch, y);
  const Graph after = with_attention(b.graph());
  const Node* node = attention_in(after);
  EXPECT_NE(node, nullptr);
  expect_same_values(b.graph(), after);
  if (node == nullptr) return {};
  EXPECT_EQ(node->inputs.size(), operands);
  return node->attributes;
}

bool is_found(GraphBuilder b, ValueId y) {
  b.output("y", OutputRole::fetch, y);
  const Graph after = with_attention(b.graph());
  expect_same_values(b.graph(), after);
  for (const Node& node : after.nodes())
    if (node.op == Op::attention) return true;
  return false;
}

TEST(AttentionPass, ScoresScaledAndMaskedByATriangleAreCausal) {
  for (const double hidden : {kLeast, -1e4, -3.4e38}) {
    GraphBuilder b;
    const auto [q, k, v] = projections(b);
    ValueId s = scaled(b, b.matmul(by_head(b, q), by_head(b, k, {0, 2, 3, 1})), 0.5);
    s = b.add(s, b.constant(triangle(hidden)));
    const Attributes a = found_in(b, joined(b, b.matmul(softmax(b, s), by_head(b, v))));
    EXPECT_EQ(a.number("scale"), 0.5);
    EXPECT_EQ(a.integer("causal"), 1);
    EXPECT_EQ(a.integer("offset"), 0);
  }
}

TEST(AttentionPass, OperandsAreReadWhereTheProjectionWroteThem) {
  GraphBuilder b;
  const auto [q, k, v] = projections(b);
  const ValueId s = scaled(b, b.matmul(by_head(b, q), by_head(b, k, {0, 2, 3, 1})), 0.5);
  b.output("y", OutputRole::fetch, joined(b, b.matmul(softmax(b, s), by_head(b, v))));
  const Graph after = with_attention(b.graph());
  int transposes = 0;
  for (const Node& node : after.nodes()) transposes += node.op == Op::transpose ? 1 : 0;
  EXPECT_EQ(transposes, 2) << "those of the result, which cancel later:\n" << after.str();
}

/// As scaled_dot_product_attention is exported: half of the scale on either side, keys transposed as one batch of
/// matrices, rows that are NaN put to zero.
TEST(AttentionPass, TheExportersFormIsFound) {
  GraphBuilder b;
  const auto [q, k, v] = projections(b);
  const ValueId keys = b.transpose(b.reshape(by_head(b, k), {kBatch * kHeads, kTokens, kSize}), {0, 2, 1});
  const ValueId kt = scaled(b, b.reshape(keys, {kBatch, kHeads, kSize, kTokens}), std::sqrt(0.5));
  const ValueId allowed = feed(b, "allowed", {kBatch, 1, kTokens, kTokens}, DType::boolean);
  const ValueId bias = b.select(allowed, b.full(DType::f32, {}, 0), b.full(DType::f32, {}, kLeast));
  const ValueId s = b.add(b.matmul(scaled(b, by_head(b, q), std::sqrt(0.5)), kt), bias);
  const ValueId p = softmax(b, s);
  const ValueId safe = b.select(b.unary(Op::is_nan, p), b.full(DType::f32, {}, 0), p);
  const Attributes a = found_in(b, joined(b, b.matmul(safe, by_head(b, v))), 4);
  EXPECT_NEAR(a.number("scale"), 0.5, 1e-7);
  EXPECT_EQ(a.integer("zero_masked"), 1);
}

TEST(AttentionPass, HeadsMergedIntoTheBatchComeApart) {
  GraphBuilder b;
  const auto [q, k, v] = projections(b);
  const auto merged = [&](ValueId x) { return b.reshape(by_head(b, x), {kBatch * kHeads, kTokens, kSize}); };
  const ValueId s = b.matmul(scaled(b, merged(q), 0.5), b.transpose(merged(k), {0, 2, 1}));
  const ValueId y = b.matmul(softmax(b, s), merged(v));
  found_in(b, joined(b, b.reshape(y, {kBatch, kHeads, kTokens, kSize})));
}

TEST(AttentionPass, RepeatedHeadsAreReadOnce) {
  GraphBuilder b;
  const ValueId q = feed(b, "q", {kBatch, 6, kTokens, kSize});
  const auto repeated = [&](const char* name) {
    const ValueId x = feed(b, name, {kBatch, 2, kTokens, kSize});
    const ValueId five = b.reshape(x, {kBatch, 2, 1, kTokens, kSize});
    return b.reshape(b.broadcast_to(five, {kBatch, 2, 3, kTokens, kSize}), {kBatch, 6, kTokens, kSize});
  };
  const ValueId s = b.matmul(q, b.transpose(repeated("k"), {0, 1, 3, 2}));
  b.output("y", OutputRole::fetch, b.matmul(softmax(b, s), repeated("v")));
  const Graph after = with_attention(b.graph());
  const Node* node = attention_in(after);
  ASSERT_NE(node, nullptr);
  EXPECT_EQ(after.type(node->inputs[1]).shape[2], 2);
  expect_same_values(b.graph(), after);
}

TEST(AttentionPass, MasksThatAreFedStayAndThoseThatMaskNothingGo) {
  for (const Shape& shape :
       {Shape{kBatch, 1, 1, kTokens}, Shape{kTokens, kTokens}, Shape{kBatch, kHeads, kTokens, kTokens}}) {
    GraphBuilder b;
    const auto [q, k, v] = projections(b);
    const ValueId s = b.matmul(by_head(b, q), by_head(b, k, {0, 2, 3, 1}));
    found_in(b, b.matmul(softmax(b, b.add(s, feed(b, "mask", shape))), by_head(b, v)), 4);
  }
  GraphBuilder b;
  const auto [q, k, v] = projections(b);
  const ValueId s = b.matmul(by_head(b, q), by_head(b, k, {0, 2, 3, 1}));
  const ValueId nothing = b.full(DType::f32, {1, 1, 1, kTokens}, 0);
  found_in(b, b.matmul(softmax(b, b.add(s, nothing)), by_head(b, v)), 3);
}

TEST(AttentionPass, SelectedScoresAreMasked) {
  for (const double hidden : {kLeast, -3.4e38}) {
    GraphBuilder b;
    const auto [q, k, v] = projections(b);
    const Shape square{kTokens, kTokens};
    const ValueId order = b.binary(Op::less_equal, b.iota(DType::i64, square, 1), b.iota(DType::i64, square, 0));
    const ValueId fed = feed(b, "allowed", {kBatch, 1, 1, kTokens}, DType::boolean);
    ValueId s = b.matmul(by_head(b, q), by_head(b, k, {0, 2, 3, 1}));
    s = b.select(order, s, b.full(DType::f32, {}, hidden));
    s = b.select(fed, s, b.full(DType::f32, {}, hidden));
    // Together they may hide a row whole; by a number, that is not by nothing.
    EXPECT_EQ(found_in(b, b.matmul(softmax(b, s), by_head(b, v)), 4).integer("causal"), hidden == kLeast ? 1 : 0);
  }
}

TEST(AttentionPass, WhatIsReadElsewhereOrIsTrainedStays) {
  const auto make = [](auto&& change) {
    GraphBuilder b;
    const auto [q, k, v] = projections(b);
    const ValueId s = b.matmul(by_head(b, q), by_head(b, k, {0, 2, 3, 1}));
    const ValueId y = change(b, s, by_head(b, v));
    return is_found(b, y);
  };
  EXPECT_TRUE(make([](GraphBuilder& b, ValueId s, ValueId v) { return b.matmul(softmax(b, s), v); }));
  EXPECT_FALSE(make([](GraphBuilder& b, ValueId s, ValueId v) {
    const ValueId p = softmax(b, s);
    return b.add(b.matmul(p, v), b.reduce(Op::reduce_sum, p, {3}, true));
  }));
  EXPECT_FALSE(make([](GraphBuilder& b, ValueId s, ValueId v) {
    const ValueId bias = b.input("bias", InputRole::state, {DType::f32, {1, kHeads, kTokens, kTokens}});
    return b.matmul(softmax(b, b.add(s, bias)), v);
  }));
  EXPECT_FALSE(make([](GraphBuilder& b, ValueId s, ValueId v) {
    return b.matmul(b.one(Op::softmax, {s}, {{"axis", I{2}}}), v);
  }));
  EXPECT_FALSE(
      make([](GraphBuilder& b, ValueId s, ValueId v) { return b.matmul(softmax(b, b.unary(Op::tanh, s)), v); }));
  EXPECT_FALSE(make([](GraphBuilder& b, ValueId s, ValueId v) {
    const ValueId p = b.one(Op::dropout, {softmax(b, s)}, {{"ratio", 0.1}, {"id", I{0}}, {"sample_dim", I{0}}});
    return b.matmul(p, v);
  }));
  // A triangle that hides all of the first row by a number: that row is the mean of v, as is checked.
  EXPECT_TRUE(make([](GraphBuilder& b, ValueId s, ValueId v) {
    const Shape square{kTokens, kTokens};
    const ValueId order = b.binary(Op::less, b.iota(DType::i64, square, 1), b.iota(DType::i64, square, 0));
    return b.matmul(softmax(b, b.select(order, s, b.full(DType::f32, {}, -3.4e38))), v);
  }));
}

/// Scores of a sample whose first two positions are padding, so that its first rows keep nothing but by finite masks.
enum class Padding { none, condition, bias };
Graph padded(Padding padding, bool triangle_is_condition, bool triangle_is_first) {
  GraphBuilder b;
  const auto [q, k, v] = projections(b);
  ValueId s = scaled(b, b.matmul(by_head(b, q), by_head(b, k, {0, 2, 3, 1})), 0.5);
  const Shape whole = b.shape(s);
  Tensor there(DType::boolean, {kBatch, 1, 1, kTokens});
  for (I i = 0; i < kBatch * kTokens; ++i)
    there.mutable_values<bool>()[static_cast<std::size_t>(i)] = i / kTokens == 0 || i % kTokens > 1;
  const auto triangular = [&] {
    const Tensor t = triangle(-1e9);
    if (!triangle_is_condition) {
      s = b.add(s, b.broadcast_to(b.constant(t), whole));
      return;
    }
    const ValueId keeps = b.binary(Op::equal, b.constant(t), b.constant(Tensor::full(DType::f32, t.shape(), 0)));
    s = b.select(b.broadcast_to(keeps, whole), s, b.full(DType::f32, whole, -3e38));
  };
  if (triangle_is_first) triangular();
  if (padding == Padding::condition)
    s = b.select(b.broadcast_to(b.constant(there), whole), s, b.full(DType::f32, whole, kLeast));
  if (padding == Padding::bias) {
    const ValueId gone = b.unary(Op::logical_not, b.constant(there));
    s = b.add(s, b.broadcast_to(scaled(b, b.cast(gone, DType::f32), -1e9), whole));
  }
  if (!triangle_is_first) triangular();
  b.output("y", OutputRole::fetch, joined(b, b.matmul(softmax(b, s), by_head(b, v))));
  return b.graph();
}

TEST(AttentionPass, AFiniteTriangleIsCausalOnlyWhereNothingElseMasks) {
  for (const bool condition : {false, true}) {
    const Graph alone = with_attention(padded(Padding::none, condition, true));
    ASSERT_NE(attention_in(alone), nullptr);
    EXPECT_EQ(attention_in(alone)->attributes.integer("causal"), 1);
    for (const Padding padding : {Padding::condition, Padding::bias})
      for (const bool first : {true, false}) {
        const Graph before = padded(padding, condition, first), after = with_attention(before);
        expect_same_values(before, after);
        for (const Node& node : after.nodes())
          EXPECT_TRUE(node.op != Op::attention || node.attributes.integer("causal") == 0);
      }
  }
}

}  // namespace
}  // namespace weft
