// What is stored in 16 bits, and what never is.
#include "graph/ir/passes/precision.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"
#include "graph/ir/passes/verify.hpp"

namespace weft {
namespace {

const TensorType kSquare{DType::f32, Shape{64, 64}};

Graph in_bf16(const Graph& graph, bool device_takes_it = true) {
  Graph result = narrowed(graph, DType::bf16, [&](const Node&, DType) { return device_takes_it; });
  verify_graph(result);
  return result;
}

std::vector<const Node*> nodes_of(const Graph& graph, Op op) {
  std::vector<const Node*> found;
  for (const Node& node : graph.nodes())
    if (node.op == op) found.push_back(&node);
  return found;
}

DType output_type(const Graph& graph, std::string_view name) { return graph.type(graph.find_output(name)).dtype; }

std::map<std::string, Tensor> some_inputs(const Graph& graph) {
  std::map<std::string, Tensor> inputs;
  std::int64_t n = 11;
  for (const GraphInput& i : graph.inputs()) {
    Tensor t(graph.type(i.value).dtype, graph.type(i.value).shape);
    for (float& v : t.mutable_values<float>())
      v = static_cast<float>((n = n * 48271 % 2147483647) % 1000) / 1e3f - 0.5f;
    inputs[i.name] = t;
  }
  return inputs;
}

/// x -> w1 + bias, relu, w2; the sum of squares, and a step down its gradients.
Graph two_layers() {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kSquare);
  const ValueId w1 = b.input("w1", InputRole::state, kSquare), w2 = b.input("w2", InputRole::state, kSquare);
  const ValueId bias = b.input("bias", InputRole::state, {DType::f32, Shape{64}});
  const ValueId h = b.unary(Op::relu, b.add(b.matmul(x, w1), bias));
  const ValueId y = b.matmul(h, w2);
  const ValueId loss = b.mean(b.mul(y, y), {0, 1});
  const auto grads = gradients(b, loss, {w1, w2, bias});
  b.output("loss", OutputRole::fetch, loss);
  b.output("w1", OutputRole::state, b.sub(w1, grads[0]));
  b.output("w2", OutputRole::state, b.sub(w2, grads[1]));
  b.output("bias", OutputRole::state, b.sub(bias, grads[2]));
  return std::move(b).take();
}

TEST(Precision, ContractionsReadNarrowOperandsOnly) {
  const Graph graph = in_bf16(two_layers());
  const auto contractions = nodes_of(graph, Op::dot_general);
  ASSERT_EQ(contractions.size(), 5u);
  for (const Node* n : contractions)
    for (const ValueId v : n->inputs) EXPECT_EQ(graph.type(v).dtype, DType::bf16);
}

TEST(Precision, ParametersTheirGradientsAndTheLossStayF32) {
  const Graph before = two_layers(), graph = in_bf16(before);
  for (std::size_t i = 0; i < before.inputs().size(); ++i)
    EXPECT_EQ(graph.type(graph.inputs()[i].value), before.type(before.inputs()[i].value));
  for (const char* name : {"loss", "w1", "w2", "bias"}) EXPECT_EQ(output_type(graph, name), DType::f32) << name;
  for (const char* name : {"w1", "w2"}) {
    const Node& update = *graph.producer(graph.find_output(name));
    EXPECT_EQ(update.inputs[0], graph.find_input(name)) << "the update reads the parameter, not its rounded copy";
    const Node& gradient = *graph.producer(update.inputs[1]);
    EXPECT_EQ(gradient.op, Op::dot_general) << "not rounded on its way";
    EXPECT_EQ(gradient.attributes.dtype("dtype"), DType::f32);
  }
}

TEST(Precision, BiasAndReluThatEndAContractionComeBeforeTheOnlyRounding) {
  const Graph graph = in_bf16(two_layers());
  const Node& relu = *nodes_of(graph, Op::relu).at(0);
  const Node& add = *graph.producer(relu.inputs[0]);
  EXPECT_EQ(graph.producer(add.inputs[0])->op, Op::dot_general);
  EXPECT_EQ(graph.type(add.inputs[0]).dtype, DType::f32);
  const auto users = graph.users();
  std::set<Op> readers;
  for (const NodeId n : users.at(static_cast<std::size_t>(relu.outputs[0]))) readers.insert(graph.node(n).op);
  EXPECT_EQ(readers, std::set<Op>{Op::cast}) << "everybody reads the rounded one";
}

TEST(Precision, AParameterIsRoundedOnceForAllItsReaders) {
  const Graph graph = in_bf16(two_layers());
  const auto casts = nodes_of(graph, Op::cast);
  EXPECT_EQ(
      std::count_if(casts.begin(), casts.end(), [&](const Node* n) { return n->inputs[0] == graph.find_input("w2"); }),
      1);
}

TEST(Precision, ValuesDifferFromF32ByRoundingOnly) {
  const Graph before = two_layers(), graph = in_bf16(before);
  const auto inputs = some_inputs(before);
  const auto exact = interpret(before, inputs), rounded = interpret(graph, inputs);
  for (const auto& [name, value] : exact) {
    bool equal = true;
    for (std::int64_t e = 0; e < value.elements(); ++e) {
      EXPECT_NEAR(rounded.at(name).as_double(e), value.as_double(e), 0.01) << name;
      equal = equal && rounded.at(name).as_double(e) == value.as_double(e);
    }
    EXPECT_FALSE(equal) << name;
  }
}

TEST(Precision, WhereTheDeviceMultipliesNoNarrowNumbersTheValuesAreTheSame) {
  const Graph graph = in_bf16(two_layers()), widened = in_bf16(two_layers(), false);
  for (const Node* n : nodes_of(widened, Op::dot_general))
    for (const ValueId v : n->inputs) {
      EXPECT_EQ(widened.type(v).dtype, DType::f32);
      EXPECT_TRUE(is_widening(widened, *widened.producer(v)));
    }
  const auto inputs = some_inputs(graph);
  const auto expected = interpret(graph, inputs), got = interpret(widened, inputs);
  for (const auto& [name, value] : expected)
    for (std::int64_t e = 0; e < value.elements(); ++e)
      EXPECT_NEAR(got.at(name).as_double(e), value.as_double(e), 1e-4 * std::abs(value.as_double(e)) + 1e-6) << name;
}

TEST(Precision, MovementsOfWhatContractionsReadAreOfNarrowValues) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kSquare), w = b.input("w", InputRole::state, kSquare);
  const ValueId h = b.reshape(b.unary(Op::tanh, b.matmul(x, w)), Shape{8, 8, 64});
  const ValueId moved = b.reshape(b.transpose(h, {1, 0, 2}), Shape{64, 64});
  b.output("y", OutputRole::fetch, b.dot(moved, w, {}, {}, {1}, {0}));
  const Graph graph = in_bf16(std::move(b).take());
  for (const Op op : {Op::reshape, Op::transpose})
    for (const Node* n : nodes_of(graph, op)) EXPECT_EQ(graph.type(n->outputs[0]).dtype, DType::bf16);
  EXPECT_EQ(output_type(graph, "y"), DType::f32) << "no contraction depends on it";
}

TEST(Precision, MaximumPoolingOfANarrowValueAndItsGradientAreNarrow) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{2, 3, 8, 8}});
  const ValueId w = b.input("w", InputRole::state, {DType::f32, Shape{3, 3, 3, 3}});
  const ConvWindow same{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
  const PoolWindow halves{{1, 1, 2, 2}, {1, 1, 2, 2}, {0, 0, 0, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}};
  const ValueId pooled = b.pool(Op::reduce_window_max, b.conv(b.conv(x, w, same), w, same), halves);
  const ValueId loss = b.reduce_all(Op::reduce_sum, b.mul(pooled, pooled));
  b.output("w", OutputRole::state, gradients(b, loss, {w})[0]);
  const Graph before = std::move(b).take(), graph = in_bf16(before);
  for (const Op op : {Op::reduce_window_max, Op::reduce_window_max_grad})
    EXPECT_EQ(graph.type(nodes_of(graph, op).at(0)->outputs[0]).dtype, DType::bf16);
  const auto inputs = some_inputs(graph);
  const Tensor exact = interpret(before, inputs).at("w"), got = interpret(graph, inputs).at("w");
  for (std::int64_t e = 0; e < exact.elements(); ++e)
    EXPECT_NEAR(got.as_double(e), exact.as_double(e), 0.06 * std::max(1.0, std::abs(exact.as_double(e))));
}

/// A sum that runs past `layers` pairs of products, as in a transformer.
Graph residual_stream(const Shape& shape) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, shape});
  const ValueId w = b.input("w", InputRole::state, {DType::f32, Shape{shape[1], shape[1]}});
  ValueId sum = b.add(b.unary(Op::exp, b.matmul(x, w)), b.unary(Op::tanh, b.matmul(b.unary(Op::neg, x), w)));
  for (int i = 0; i < 2; ++i) {
    const ScopedName name(b, "stream");
    sum = b.add(sum, b.unary(Op::tanh, b.matmul(b.unary(Op::exp, sum), w)));
  }
  b.output("y", OutputRole::fetch, b.reduce_all(Op::reduce_sum, sum));
  return std::move(b).take();
}

std::int64_t narrow_sums(const Graph& graph) {
  const auto casts = nodes_of(graph, Op::cast);
  return std::count_if(casts.begin(), casts.end(), [&](const Node* n) {
    const Node* maker = graph.producer(n->inputs[0]);
    return !is_widening(graph, *n) && maker != nullptr && maker->op == Op::add;
  });
}

TEST(Precision, LargeSumsThatRunPastALayerAreNarrowAndSmallOnesAreNot) {
  EXPECT_EQ(narrow_sums(in_bf16(residual_stream({64, 64}))), 2) << "the last is read at once";
  EXPECT_EQ(narrow_sums(in_bf16(residual_stream({8, 64}))), 0);
}

TEST(Precision, AMaskedGradientThatSeveralReadIsNarrowBecauseItLosesNothing) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kSquare), w = b.input("w", InputRole::state, kSquare);
  const ValueId h = b.matmul(x, w);
  const ValueId mask = b.binary(Op::less, x, b.like(x, 0.25));
  const ValueId masked = b.select(mask, h, b.mul(h, b.like(h, 0.5)));
  const ValueId mean = b.mean(masked, {0});
  b.output("mean", OutputRole::fetch, mean);
  b.output("y", OutputRole::fetch, b.matmul(b.sub(b.unary(Op::exp, masked), mean), w));
  const Graph before = std::move(b).take(), graph = in_bf16(before);
  const Node& select = *nodes_of(graph, Op::select).at(0);
  const auto users = graph.users();
  const std::vector<NodeId>& readers = users.at(static_cast<std::size_t>(select.outputs[0]));
  ASSERT_EQ(readers.size(), 1u);
  EXPECT_EQ(graph.node(readers[0]).attributes.dtype("dtype"), DType::bf16);
  // Nothing was rounded there: the mean is that of the masked product, rounded once as the contraction's result.
  const auto inputs = some_inputs(graph);
  GraphBuilder c;
  const ValueId cx = c.input("x", InputRole::feed, kSquare), cw = c.input("w", InputRole::feed, kSquare);
  const ValueId product = c.cast(c.matmul(c.cast(cx, DType::bf16), c.cast(cw, DType::bf16)), DType::f32);
  c.output(
      "mean", OutputRole::fetch,
      c.mean(c.select(c.binary(Op::less, cx, c.like(cx, 0.25)), product, c.mul(product, c.like(product, 0.5))), {0}));
  EXPECT_TRUE(interpret(graph, inputs).at("mean").identical(interpret(std::move(c).take(), inputs).at("mean")));
}

TEST(Precision, OtherTypesStatisticsAndGraphsWithoutContractionsAreLeftAlone) {
  GraphBuilder b;
  const TensorType doubles{DType::f64, Shape{64, 64}}, integers{DType::i32, Shape{64, 64}};
  const ValueId x = b.input("x", InputRole::feed, doubles), n = b.input("n", InputRole::feed, integers);
  const ValueId f = b.input("f", InputRole::feed, kSquare);
  b.output("x", OutputRole::fetch, b.matmul(x, x));
  b.output("n", OutputRole::fetch, b.matmul(n, n));
  b.output("mean", OutputRole::fetch, b.mean(b.mul(f, f), {0}));
  const Graph graph = std::move(b).take();
  EXPECT_EQ(in_bf16(graph).str(), graph.str());
  EXPECT_EQ(in_bf16(Graph()).str(), Graph().str());
}

TEST(Precision, AMeanThatAContractionFollowsIsNotRounded) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, kSquare), w = b.input("w", InputRole::state, kSquare);
  const ValueId h = b.matmul(x, w);
  const ValueId mean = b.mean(h, {1}, true);
  b.output("y", OutputRole::fetch, b.matmul(b.sub(h, mean), w));
  const Graph graph = in_bf16(std::move(b).take());
  for (const Node* n : nodes_of(graph, Op::reduce_sum)) EXPECT_EQ(graph.type(n->outputs[0]).dtype, DType::f32);
  EXPECT_EQ(nodes_of(graph, Op::cast).size(), 4u) << "x, w and h - mean rounded; h widened; nothing else";
}

TEST(Precision, AttentionMultipliesNarrowOperandsAndKeepsTheNumbersOfItsRowsAndItsMaskWide) {
  GraphBuilder b;
  const Shape shape{2, 8, 2, 16};
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, Shape{16, 32}});
  const ValueId w = b.input("w", InputRole::state, {DType::f32, Shape{32, 32}});
  const ValueId mask = b.input("mask", InputRole::feed, {DType::f32, Shape{1, 1, 8, 8}});
  const ValueId q = b.reshape(b.matmul(x, w), shape);
  const ValueId y = b.node(
      Op::attention, {q, q, q, mask},
      {{"scale", 0.25}, {"causal", std::int64_t{1}}, {"offset", std::int64_t{0}}, {"zero_masked", std::int64_t{0}}})[0];
  const ValueId loss = b.mean(b.mul(y, y), {0, 1, 2, 3});
  b.output("w", OutputRole::state, b.sub(w, gradients(b, loss, {w})[0]));
  const Graph graph = std::move(b).take();
  const Graph narrow = in_bf16(graph);
  const auto types = [&](const std::vector<ValueId>& values) {
    std::vector<DType> all;
    for (const ValueId v : values) all.push_back(narrow.type(v).dtype);
    return all;
  };
  const DType n = DType::bf16, f = DType::f32;
  const Node *forward = nodes_of(narrow, Op::attention).at(0), *backward = nodes_of(narrow, Op::attention_grad).at(0);
  EXPECT_EQ(types(forward->inputs), (std::vector<DType>{n, n, n, f}));
  EXPECT_EQ(types(forward->outputs), (std::vector<DType>{n, f, f}));
  EXPECT_EQ(types(backward->inputs), (std::vector<DType>{n, n, n, n, n, f, f, f}));
  EXPECT_EQ(types(backward->outputs), (std::vector<DType>{n, n, n}));
  const Graph refused = in_bf16(graph, false);
  EXPECT_EQ(refused.type(nodes_of(refused, Op::attention).at(0)->inputs[0]).dtype, f);
}

}  // namespace
}  // namespace weft
