#include "graph/partition/partition.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "graph/ir/builder.hpp"
#include "graph/partition/interpret_distributed.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/training/fixture.hpp"
#include "weft/error.hpp"

namespace weft {
namespace {

using namespace test;
using ::testing::HasSubstr;

Graph double_feed(std::int64_t samples) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {samples, 2}});
  b.output("s", OutputRole::fetch, b.reduce(Op::reduce_sum, x, {0}));
  return std::move(b).take();
}

TEST(Partition, OneRankKeepsTheGraph) {
  EXPECT_EQ(partition(double_feed(4), data_mesh(1), 0).str(), double_feed(4).str());
}

TEST(Partition, SamplesAreCutAsEvenlyAsCanBe) {
  EXPECT_EQ(rank_samples(7, data_mesh(3), 0).count, 3);
  EXPECT_EQ(rank_samples(7, data_mesh(3), 2).first, 5);
  EXPECT_EQ(rank_samples(2, data_mesh(3), 2).count, 0);
  const Graph local = partition(double_feed(7), data_mesh(3), 1);
  EXPECT_EQ(local.type(local.find_input("x")).str(), "f32[2, 2]");
}

TEST(Partition, RanksOfOtherAxesOfSizeOneChangeNothing) {
  const Mesh mesh{{{"data", 2}, {"tensor", 1}, {"pipeline", 1}}};
  EXPECT_EQ(partition(double_feed(4), mesh, 1).str(), partition(double_feed(4), data_mesh(2), 1).str());
}

TEST(Partition, AnAxisThatCannotBeSplitYetIsNamed) {
  const Mesh mesh{{{"data", 2}, {"pipeline", 2}}};
  try {
    partition(double_feed(4), mesh, 0);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("pipeline: 1"));
  }
}

TEST(Partition, FeedsThatDisagreeAboutTheSamplesAreNamed) {
  GraphBuilder b;
  b.input("x", InputRole::feed, {DType::f32, {4, 2}});
  b.input("z", InputRole::feed, {DType::f32, {3}});
  try {
    partition(b.graph(), data_mesh(2), 0);
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), ::testing::AllOf(HasSubstr("'x'"), HasSubstr("f32[3]")));
  }
}

TEST(Partition, RanksWithEqualSharesHaveOneRole) {
  const Graph g = double_feed(7);
  EXPECT_EQ(role_key(g, data_mesh(3), 1), role_key(g, data_mesh(3), 2));
  EXPECT_NE(role_key(g, data_mesh(3), 0), role_key(g, data_mesh(3), 1));
}

Graph dropout_graph(std::int64_t sample_dim) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {5, 5}});
  const auto scalar = [&](const char* name, InputRole role) { return b.input(name, role, {DType::i64, {}}); };
  const ValueId seed = scalar("seed", InputRole::state), step = scalar("step", InputRole::state);
  const ValueId offset = scalar("sample_offset", InputRole::scalar);
  const ValueId y = b.one(Op::dropout, {x, seed, step, offset},
                          {{"ratio", 0.4}, {"id", std::int64_t{9}}, {"sample_dim", sample_dim}});
  b.output("y", OutputRole::fetch, b.reduce(Op::reduce_sum, b.unary(Op::exp, y), {0}));
  return std::move(b).take();
}

TEST(Partition, RandomNumbersBelongToTheSampleNotToTheRank) {
  const Table inputs{{"x", noise({5, 5}, 1)},
                     {"seed", Tensor::scalar<std::int64_t>(3)},
                     {"step", Tensor::scalar<std::int64_t>(2)},
                     {"sample_offset", Tensor::scalar<std::int64_t>(40)}};
  for (const int ranks : {2, 3, 8}) expect_same_on_ranks(dropout_graph(0), ranks, inputs, 1e-6);
}

TEST(Partition, RandomNumbersThatDoNotFollowTheSamplesAreRefusedByName) {
  EXPECT_THROW(partition(dropout_graph(1), data_mesh(2), 0), UserError);
}

TEST(LockstepInterpreter, RanksThatDoNotMeetAreNamed) {
  GraphBuilder a, b;
  for (GraphBuilder* g : {&a, &b}) {
    const ValueId x = g->input("x", InputRole::feed, {DType::f32, {2}});
    const ValueId y = g == &a ? g->one(Op::all_reduce, {x},
                                       {{"axes", std::vector<std::string>{"data"}}, {"kind", std::string("sum")}})
                              : x;
    g->output("y", OutputRole::fetch, y);
  }
  const Table in{{"x", noise({2}, 1)}};
  EXPECT_THROW(interpret_distributed(data_mesh(2), {a.graph(), b.graph()}, {in, in}), InternalError);
}

}  // namespace
}  // namespace weft
