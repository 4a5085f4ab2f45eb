// Gathers repeated for the backward pass, and small exchanges that travel together: structure, on hand-made graphs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/ir/builder.hpp"
#include "graph/partition/pack_exchanges.hpp"
#include "graph/partition/regather.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/partition/network_step.hpp"

namespace weft {
namespace {

using namespace test;
using ::testing::ElementsAre;

ValueId gathered(GraphBuilder& b, const std::string& state, std::int64_t rows = 2) {
  const ValueId part = b.input(state, InputRole::state, {DType::f32, {rows, 4}});
  return b.one(Op::all_gather, {part}, {{"axes", std::vector<std::string>{"data"}}, {"size", std::int64_t{2}}});
}

ValueId scattered(GraphBuilder& b, ValueId v) {
  return b.one(Op::reduce_scatter, {v},
               {{"axes", std::vector<std::string>{"data"}}, {"size", std::int64_t{2}}, {"kind", std::string("sum")}});
}

/// Names of what happens: "gather w0", "use w0" (a product with it), in order.
std::vector<std::string> events(const Graph& graph) {
  std::vector<std::string> result;
  const auto state_of = [&](ValueId v) {
    while (const Node* maker = graph.producer(v)) v = maker->inputs[0];
    for (const GraphInput& i : graph.inputs())
      if (i.value == v) return i.name;
    return std::string();
  };
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::all_gather) result.push_back("gather " + state_of(node.inputs[0]));
    if (node.op == Op::dot_general) result.push_back("use " + state_of(node.inputs[1]));
  }
  return result;
}

/// x times w0, w1, ... forward, and times their transposes backward.
Graph there_and_back(int layers) {
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, {4, 4}});
  std::vector<ValueId> weights;
  for (int i = 0; i < layers; ++i) weights.push_back(gathered(b, "w" + std::to_string(i)));
  for (int i = 0; i < layers; ++i) x = b.dot(x, weights[static_cast<std::size_t>(i)], {}, {}, {1}, {0});
  for (int i = layers; i-- > 0;)
    x = b.dot(x, b.transpose(weights[static_cast<std::size_t>(i)], {1, 0}), {}, {}, {1}, {0});
  b.output("y", OutputRole::fetch, x);
  return std::move(b).take();
}

TEST(Regather, WhatTheBackwardPassReadsSoonIsKeptAndTheRestGatheredAgain) {
  EXPECT_THAT(events(regather(there_and_back(6))),
              ElementsAre("gather w0", "gather w1", "gather w2",  // two ahead of the first use
                          "use w0", "gather w3", "use w1", "gather w4", "use w2", "gather w5", "use w3", "gather w1",
                          "use w4", "gather w0", "use w5", "use w5", "use w4", "use w3", "use w2", "use w1", "use w0"));
}

TEST(Regather, FewParametersAreGatheredOnce) {
  EXPECT_EQ(count_of(regather(there_and_back(kKeptGathers)), Op::all_gather), kKeptGathers);
}

TEST(Regather, ParametersReadInTurnsAreNotGatheredEveryTime) {
  GraphBuilder b;
  ValueId x = b.input("x", InputRole::feed, {DType::f32, {4, 4}});
  std::vector<ValueId> weights;
  for (int i = 0; i < 6; ++i) weights.push_back(gathered(b, "w" + std::to_string(i)));
  for (int step = 0; step < 20; ++step)
    for (const ValueId w : weights) x = b.dot(x, w, {}, {}, {1}, {0});
  b.output("y", OutputRole::fetch, x);
  EXPECT_EQ(count_of(regather(b.graph()), Op::all_gather), 6);
}

TEST(Pack, SmallExchangesOfOneLevelTravelTogether) {
  GraphBuilder b;
  for (const std::string name : {"a", "b", "c"}) {
    const ValueId gradient = b.input("g" + name, InputRole::feed, {DType::f32, {4, 4}});
    const ValueId next = b.add(b.input("p" + name, InputRole::state, {DType::f32, {2, 4}}), scattered(b, gradient));
    b.output("w" + name, OutputRole::fetch,
             b.one(Op::all_gather, {next}, {{"axes", std::vector<std::string>{"data"}}, {"size", std::int64_t{2}}}));
  }
  const Graph packed = pack_exchanges(b.graph(), 1 << 20);
  EXPECT_EQ(count_of(packed, Op::reduce_scatter), 1);
  EXPECT_EQ(count_of(packed, Op::all_gather), 1);
  EXPECT_EQ(count_of(pack_exchanges(b.graph(), 128), Op::reduce_scatter), 2);  // two of 64 bytes, and one
  EXPECT_EQ(count_of(pack_exchanges(b.graph(), 0), Op::reduce_scatter), 3);
}

TEST(Pack, WhatDependsOnAnotherExchangeDoesNotTravelWithIt) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {8, 4}});
  const ValueId first = scattered(b, x), second = scattered(b, b.unary(Op::exp, first));
  b.output("y", OutputRole::fetch, second);
  EXPECT_EQ(count_of(pack_exchanges(b.graph(), 1 << 20), Op::reduce_scatter), 2);
}

TEST(Pack, LargeExchangesTravelAlone) {
  GraphBuilder b;
  for (const std::string name : {"a", "b"}) {
    const ValueId x = b.input(name, InputRole::feed, {DType::f32, {2, kSmallExchangeBytes / 4}});
    b.output("sum" + name, OutputRole::fetch, scattered(b, x));
  }
  EXPECT_EQ(count_of(pack_exchanges(b.graph(), 1 << 20), Op::reduce_scatter), 2);
}

}  // namespace
}  // namespace weft
