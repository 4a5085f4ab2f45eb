// Each simplification by itself, and what it must leave alone.
#include "graph/ir/passes/simplify.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "graph/ir/builder.hpp"
#include "graph/ir/interpret.hpp"

namespace weft {
namespace {

Tensor counting(const Shape& shape) {
  Tensor t(DType::f32, shape);
  float next = 0;
  for (float& x : t.mutable_values<float>()) x = next++;
  return t;
}

/// A graph of feeds x and y: f32[2, 3].
struct Sketch {
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, {2, 3}});
  ValueId y = b.input("y", InputRole::feed, {DType::f32, {2, 3}});
  Dims both{0, 1};

  /// The simplified graph that fetches `values` as "0", "1", …
  Graph simplified(const std::vector<ValueId>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) b.output(std::to_string(i), OutputRole::fetch, values[i]);
    return simplify(b.graph());
  }
};

/// The ops of a graph in order: "add mul".
std::string ops(const Graph& graph) {
  std::string result;
  for (const Node& node : graph.nodes()) result += (result.empty() ? "" : " ") + std::string(name_of(node.op));
  return result;
}

const Tensor& literal(const Graph& graph, std::size_t node) { return *graph.nodes().at(node).literal; }

ValueId fetched(const Graph& graph, const std::string& name = "0") { return graph.find_output(name); }

TEST(Simplify, KeepsInputsThatNothingReadsAndOutputsThatAreInputs) {
  Sketch s;
  s.b.input("seed", InputRole::state, {DType::i64, {}});
  s.b.output("w", OutputRole::state, s.x);
  const Graph g = s.simplified({s.x});
  ASSERT_EQ(g.inputs().size(), 3u);
  EXPECT_EQ(g.inputs()[2].name, "seed");
  EXPECT_EQ(g.inputs()[2].role, InputRole::state);
  ASSERT_EQ(g.outputs().size(), 2u);
  EXPECT_EQ(g.outputs()[0].name, "w");
  EXPECT_EQ(g.outputs()[0].role, OutputRole::state);
  EXPECT_EQ(fetched(g), g.find_input("x"));
}

TEST(Simplify, DropsWhatNothingReads) {
  Sketch s;
  s.b.unary(Op::exp, s.b.add(s.x, s.y));
  EXPECT_EQ(ops(s.simplified({s.b.mul(s.x, s.y)})), "mul");
}

TEST(Simplify, KeepsCollectivesThatNothingReadsForPeersMakeTheSameCalls) {
  Sketch s;
  const std::vector<std::string> stage{"stage"};
  s.b.node(Op::send, {s.b.unary(Op::exp, s.x)}, {{"axes", stage}, {"peer", std::int64_t{1}}});
  s.b.one(Op::receive, {}, {{"axes", stage}, {"peer", std::int64_t{1}}, {"dtype", DType::f32}, {"shape", Dims{2}}});
  s.b.one(Op::all_reduce, {s.y}, {{"axes", stage}, {"kind", std::string("sum")}});
  EXPECT_EQ(ops(s.simplified({s.x})), "exp send receive all_reduce");
}

TEST(Simplify, KeepsNodeNamesAndOfEqualNodesTheFirst) {
  Sketch s;
  s.b.set_name("/first");
  const ValueId a = s.b.unary(Op::exp, s.x);
  s.b.set_name("/second");
  const ValueId b = s.b.unary(Op::exp, s.x);
  s.b.set_name("/sum");
  const Graph g = s.simplified({s.b.add(a, b)});
  ASSERT_EQ(ops(g), "exp add");
  EXPECT_EQ(g.nodes()[0].name, "/first");
  EXPECT_EQ(g.nodes()[1].name, "/sum");
}

TEST(Simplify, MergesEqualNodesAndWhatBecomesEqualByThat) {
  Sketch s;
  const auto branch = [&] {
    const ValueId three = s.b.like(s.x, 3);
    return s.b.unary(Op::tanh, s.b.mul(s.b.add(s.x, s.y), three));
  };
  const ValueId first = branch();
  const Graph g = s.simplified({first, branch()});
  EXPECT_EQ(ops(g), "constant broadcast add mul tanh");
  EXPECT_EQ(fetched(g, "0"), fetched(g, "1"));
}

TEST(Simplify, DoesNotMergeNodesWithOtherAttributes) {
  Sketch s;
  const Graph g = s.simplified({s.b.reduce(Op::reduce_sum, s.x, {0}), s.b.reduce(Op::reduce_sum, s.x, {1})});
  EXPECT_EQ(ops(g), "reduce_sum reduce_sum");
}

TEST(Simplify, MergesRandomOperatorsOnlyOfOneId) {
  Sketch s;
  const ValueId k = s.b.input("k", InputRole::state, {DType::i64, {}});
  const auto bits = [&](std::int64_t id) {
    return s.b.one(Op::random_bits, {k, k, k}, {{"id", id}, {"shape", Dims{4}}, {"sample_dim", std::int64_t{0}}});
  };
  const ValueId one = bits(1), again = bits(1), two = bits(2);
  const Graph g = s.simplified({one, again, two});
  EXPECT_EQ(fetched(g, "0"), fetched(g, "1"));
  EXPECT_NE(fetched(g, "0"), fetched(g, "2"));
}

TEST(Simplify, NeverMergesCollectives) {
  Sketch s;
  const auto sum = [&] {
    return s.b.one(Op::all_reduce, {s.x}, {{"axes", std::vector<std::string>{"data"}}, {"kind", std::string("sum")}});
  };
  const ValueId first = sum();
  EXPECT_EQ(ops(s.simplified({first, sum()})), "all_reduce all_reduce");
}

TEST(Simplify, SimplifiesBodiesButMergesNoControlFlow) {
  Sketch s;
  const ValueId condition = s.b.input("condition", InputRole::feed, {DType::boolean, {}});
  GraphBuilder body;
  const ValueId in = body.input("in", InputRole::feed, {DType::f32, {2, 3}});
  body.unary(Op::exp, in);
  body.output("out", OutputRole::fetch, body.mul(in, body.like(in, 1)));
  const auto branch = [&] { return s.b.control(Op::if_, {condition, s.x}, {body.graph(), body.graph()}).at(0); };
  const ValueId first = branch();
  const Graph g = s.simplified({first, branch()});
  ASSERT_EQ(g.nodes().size(), 2u);
  for (const Node& node : g.nodes())
    for (const Graph& simplified : node.bodies) {
      EXPECT_TRUE(simplified.nodes().empty()) << simplified.str();
      EXPECT_EQ(simplified.inputs().size(), 1u);
    }
}

TEST(Simplify, FoldsSmallConstants) {
  Sketch s;
  const ValueId c = s.b.constant(counting({2, 3}));
  const Graph g = s.simplified({s.b.reduce(Op::reduce_sum, s.b.mul(c, c), {1})});
  ASSERT_EQ(ops(g), "constant");
  EXPECT_TRUE(literal(g, 0).identical(Tensor::from<float>({2}, {5, 50})));
}

TEST(Simplify, LeavesLargeConstantsToTheDevice) {
  Sketch s;
  const Graph g = s.simplified({s.b.transpose(s.b.constant(counting({65, 64})), {1, 0})});
  EXPECT_EQ(ops(g), "constant transpose");
}

TEST(Simplify, NeverWritesOutABroadcastConstantOrAnIota) {
  Sketch s;
  const ValueId row = s.b.broadcast_to(s.b.constant(counting({3})), {2, 3});
  const ValueId ones = s.b.full(DType::f32, {4}, 1), twos = s.b.full(DType::f32, {4}, 2);
  const ValueId joined = s.b.concat({ones, twos}, 0);
  const ValueId index = s.b.iota(DType::i64, {8}, 0);
  const Graph g = s.simplified({row, joined, s.b.add(index, index)});
  EXPECT_EQ(ops(g), "constant broadcast constant broadcast constant broadcast concat iota add");
}

TEST(Simplify, AConstantOfOneRepeatedElementBecomesABroadcastScalar) {
  Sketch s;
  const Graph g = s.simplified({s.b.constant(Tensor::full(DType::f32, {100, 100}, 2.5))});
  ASSERT_EQ(ops(g), "constant broadcast");
  EXPECT_TRUE(literal(g, 0).identical(Tensor::scalar(2.5F)));
}

TEST(Simplify, ZerosOfBothSignsAreNotOneRepeatedElement) {
  Sketch s;
  const Graph g = s.simplified({s.b.constant(Tensor::from<float>({2}, {0.0F, -0.0F}))});
  ASSERT_EQ(ops(g), "constant");
  EXPECT_TRUE(std::signbit(literal(g, 0).values<float>()[1]));
}

TEST(Simplify, ComputesOnBroadcastScalarsOfAnySizeWithOneElement) {
  Sketch s;
  const Shape huge{1 << 20, 1 << 20};
  const ValueId sum = s.b.add(s.b.full(DType::f32, huge, 1), s.b.full(DType::f32, huge, 2));
  const ValueId moved = s.b.slice(s.b.reshape(s.b.transpose(sum, {1, 0}), {1 << 10, 1 << 30}), {0, 5}, {1, 7}, {1, 1});
  const Graph g = s.simplified({s.b.mul(s.x, s.b.broadcast_to(s.b.reduce(Op::reduce_max, moved, s.both), {2, 3}))});
  ASSERT_EQ(ops(g), "constant broadcast mul");
  EXPECT_TRUE(literal(g, 0).identical(Tensor::scalar(3.0F)));
}

TEST(Simplify, DropsNeutralOperands) {
  Sketch s;
  const auto number = [&](double value) { return s.b.like(s.x, value); };
  const Graph g = s.simplified({s.b.mul(s.x, number(1)), s.b.mul(number(1), s.x), s.b.div(s.x, number(1)),
                                s.b.sub(s.x, number(0)), s.b.add(s.x, number(-0.0)), s.b.add(number(-0.0), s.x)});
  EXPECT_TRUE(g.nodes().empty()) << g.str();
}

TEST(Simplify, KeepsAdditionsThatChangeTheSignOfZero) {
  Sketch s;
  const ValueId zero = s.b.like(s.x, 0), minus = s.b.like(s.x, -0.0), one = s.b.like(s.x, 1);
  const Graph g = s.simplified({s.b.add(s.x, zero), s.b.sub(s.x, minus), s.b.sub(zero, s.x), s.b.div(one, s.x)});
  EXPECT_EQ(ops(g), "constant broadcast constant broadcast constant broadcast add sub sub div");
}

TEST(Simplify, DropsNeutralOperandsOfIntegersAndBooleans) {
  Sketch s;
  const ValueId n = s.b.input("n", InputRole::feed, {DType::i32, {4}});
  const ValueId flag = s.b.input("flag", InputRole::feed, {DType::boolean, {4}});
  const ValueId yes = s.b.like(flag, 1), no = s.b.like(flag, 0);
  const Graph g =
      s.simplified({s.b.add(n, s.b.like(n, 0)), s.b.mul(n, s.b.like(n, 1)), s.b.binary(Op::logical_and, flag, yes),
                    s.b.binary(Op::logical_or, no, flag), s.b.binary(Op::logical_xor, flag, no)});
  EXPECT_TRUE(g.nodes().empty()) << g.str();
}

TEST(Simplify, DropsDoubleInversions) {
  Sketch s;
  const ValueId flag = s.b.input("flag", InputRole::feed, {DType::boolean, {4}});
  const auto twice = [&](Op op, ValueId v) { return s.b.unary(op, s.b.unary(op, v)); };
  const Graph g = s.simplified({twice(Op::neg, s.x), twice(Op::logical_not, flag)});
  EXPECT_TRUE(g.nodes().empty()) << g.str();
}

TEST(Simplify, ComposesTransposesAndDropsThoseThatCancel) {
  Sketch s;
  const ValueId v = s.b.input("v", InputRole::feed, {DType::f32, {2, 3, 4, 5}});
  const ValueId turned = s.b.transpose(s.b.transpose(v, {2, 0, 3, 1}), {3, 0, 1, 2});
  const ValueId back = s.b.transpose(s.b.transpose(s.x, {1, 0}), {1, 0});
  const Graph g = s.simplified({turned, back, s.b.transpose(s.y, {0, 1})});
  ASSERT_EQ(ops(g), "transpose");
  EXPECT_EQ(g.nodes()[0].attributes.integers("order"), (Dims{1, 2, 0, 3}));
  EXPECT_EQ(g.type(fetched(g)).shape, s.b.shape(turned));
}

TEST(Simplify, ComposesReshapesAndDropsThoseThatCancel) {
  Sketch s;
  const Graph g =
      s.simplified({s.b.reshape(s.b.reshape(s.x, {6}), {3, 2}), s.b.reshape(s.b.reshape(s.x, {6}), {2, 3})});
  ASSERT_EQ(ops(g), "reshape");
  EXPECT_EQ(fetched(g, "1"), g.find_input("x"));
}

TEST(Simplify, ComposesBroadcasts) {
  Sketch s;
  const ValueId row = s.b.broadcast_in(s.x, {2, 4, 3}, {0, 2});
  const Graph g = s.simplified({s.b.broadcast_in(row, {5, 2, 4, 6, 3}, {1, 2, 4})});
  ASSERT_EQ(ops(g), "broadcast");
  EXPECT_EQ(g.nodes()[0].attributes.integers("dims"), (Dims{1, 4}));
}

TEST(Simplify, DropsMovementsAndCastsThatChangeNothing) {
  Sketch s;
  const ValueId zero = s.b.constant(Tensor::scalar(0.0F));
  const Graph g =
      s.simplified({s.b.slice(s.x, {0, 0}, {2, 3}, {1, 1}), s.b.pad(s.x, zero, {0, 0}, {0, 0}, {0, 0}),
                    s.b.concat({s.x}, 1), s.b.one(Op::cast, {s.x}, {{"dtype", DType::f32}}),
                    s.b.broadcast_in(s.x, {2, 3}, {0, 1}), s.b.one(Op::reverse, {s.x}, {{"dims", Dims{}}})});
  EXPECT_TRUE(g.nodes().empty()) << g.str();
}

TEST(Simplify, KeepsSlicesAndPadsThatChangeSomething) {
  Sketch s;
  const ValueId zero = s.b.constant(Tensor::scalar(0.0F));
  const Graph g = s.simplified({s.b.slice(s.x, {0, 0}, {2, 3}, {1, 2}), s.b.pad(s.x, zero, {0, 0}, {0, 0}, {0, 1}),
                                s.b.pad(s.x, zero, {-1, 0}, {1, 0}, {0, 0})});
  EXPECT_EQ(ops(g), "constant slice pad pad");
}

TEST(Simplify, ResolvesSelectsThatAreDecided) {
  Sketch s;
  const ValueId yes = s.b.full(DType::boolean, {2, 3}, 1), no = s.b.full(DType::boolean, {2, 3}, 0);
  const ValueId either = s.b.binary(Op::less, s.x, s.y);
  const Graph g = s.simplified({s.b.select(yes, s.x, s.y), s.b.select(no, s.x, s.y), s.b.select(either, s.y, s.y)});
  EXPECT_TRUE(g.nodes().empty()) << g.str();
  EXPECT_EQ(fetched(g, "0"), g.find_input("x"));
  EXPECT_EQ(fetched(g, "1"), g.find_input("y"));
}

TEST(Simplify, ReductionsOverNoDimensionsGoButForTheSignOfZero) {
  Sketch s;
  const ValueId n = s.b.input("n", InputRole::feed, {DType::i32, {4}});
  const Graph g = s.simplified({s.b.reduce(Op::reduce_max, s.x, {}), s.b.reduce(Op::reduce_prod, s.x, {}),
                                s.b.reduce(Op::reduce_sum, n, {}), s.b.reduce(Op::reduce_sum, s.x, {})});
  EXPECT_EQ(ops(g), "constant broadcast add");
  Tensor minus = Tensor::full(DType::f32, {2, 3}, -0.0);
  const auto values = interpret(g, {{"x", minus}, {"y", minus}, {"n", Tensor(DType::i32, {4})}});
  EXPECT_FALSE(std::signbit(values.at("3").values<float>()[0]));
  EXPECT_TRUE(std::signbit(values.at("0").values<float>()[0]));
}

}  // namespace
}  // namespace weft
