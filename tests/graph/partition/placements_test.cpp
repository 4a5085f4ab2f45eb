// Placement rules, each through a small graph whose partitioned results must be those of the unsharded one.
#include "graph/partition/placements.hpp"

#include <gtest/gtest.h>

#include <functional>

#include "graph/ir/builder.hpp"
#include "graph/partition/partition.hpp"
#include "tests/graph/partition/harness.hpp"
#include "tests/graph/training/fixture.hpp"

namespace weft {
namespace {

using namespace test;

/// A graph over x [6, 4, 4] and w [4, 4] (a state) that returns one value; compared on 1, 2, 4 and 8 ranks. Returns the
/// number of collectives on two ranks.
int compare(const std::function<ValueId(GraphBuilder&, ValueId x, ValueId w)>& body) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {6, 4, 4}});
  const ValueId w = b.input("w", InputRole::state, {DType::f32, {4, 4}});
  b.output("y", OutputRole::fetch, body(b, x, w));
  const Table inputs{{"x", noise({6, 4, 4}, 1)}, {"w", noise({4, 4}, 2)}};
  for (const int ranks : {1, 2, 4, 8}) expect_same_on_ranks(b.graph(), ranks, inputs, 1e-6);
  return count_of(partition(b.graph(), data_mesh(2), 0), Op::all_reduce);
}

ValueId sum(GraphBuilder& b, ValueId v) {
  Dims dims;
  for (int d = 0; d < b.shape(v).rank(); ++d) dims.push_back(d);
  return b.reduce(Op::reduce_sum, v, dims);
}

TEST(Placements, ASumOverSamplesIsReducedOnce) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId) { return sum(b, b.mul(x, x)); }), 1);
}

TEST(Placements, SumsPassThroughLinearOperators) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) {
              const ValueId s = b.reduce(Op::reduce_sum, x, {0}), t = b.reduce(Op::reduce_sum, b.mul(x, x), {0});
              return b.transpose(b.unary(Op::neg, b.sub(b.mul(s, w), b.div(t, b.like(w, 3)))), {1, 0});
            }),
            1);
}

TEST(Placements, AValueThatIsReadLinearlyAndNotIsStillReducedOnce) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) {
              const ValueId s = b.reduce(Op::reduce_sum, x, {0});
              return b.add(b.mul(s, w), b.unary(Op::exp, s));
            }),
            1);
}

TEST(Placements, AConstantBesideASumIsAddedOnce) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) { return b.add(b.reduce(Op::reduce_sum, x, {0}), w); }),
            1);
}

TEST(Placements, ContractionsOverSamplesLeavePartialSums) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) {
              const ValueId y = b.dot(x, w, {}, {}, {2}, {0});
              return b.dot(y, x, {}, {}, {0, 1}, {0, 1});
            }),
            1);
}

TEST(Placements, BatchedContractionsStayLocal) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId) {
              return sum(b, b.unary(Op::tanh, b.dot(x, x, {0}, {0}, {2}, {1})));
            }),
            1);
}

TEST(Placements, FreeDimensionsOfTheRightOperandAreFollowed) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) {
              return sum(b, b.unary(Op::tanh, b.dot(w, x, {}, {}, {0}, {1})));
            }),
            1);
}

TEST(Placements, ReshapesThatMergeOrDivideSamplesStayLocal) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) {
              const ValueId flat = b.unary(Op::tanh, b.matmul(b.reshape(x, {24, 4}), w));
              const ValueId back = b.unary(Op::exp, b.reshape(flat, {6, 1, 16}));
              return sum(b, b.unary(Op::tanh, b.reshape(back, {1, 6, 4, 4})));
            }),
            1);
}

TEST(Placements, MovementAwayFromTheFirstDimensionIsFollowed) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId) {
              const ValueId t = b.transpose(x, {2, 0, 1});
              const ValueId p = b.pad(t, b.full(DType::f32, {}, 2), {1, 0, 0}, {0, 0, 2}, {0, 0, 1});
              const ValueId s = b.slice(p, {1, 0, 0}, {4, 6, 6}, {2, 1, 1});
              return sum(b, b.unary(Op::exp, b.one(Op::reverse, {b.concat({s, s}, 2)}, {{"dims", Dims{0, 2}}})));
            }),
            1);
}

TEST(Placements, ReductionsAndScansAlongOtherDimensionsStayLocal) {
  EXPECT_EQ(
      compare([](GraphBuilder& b, ValueId x, ValueId) {
        const ValueId best = b.one(Op::argmax, {x}, {{"axis", std::int64_t{1}}, {"last", std::int64_t{0}}});
        const ValueId top = b.node(
            Op::top_k, {x}, {{"axis", std::int64_t{2}}, {"k", std::int64_t{2}}, {"largest", std::int64_t{1}}})[0];
        const ValueId peak = b.reduce(Op::reduce_max, b.one(Op::softmax, {x}, {{"axis", std::int64_t{1}}}), {1, 2});
        return b.add(b.add(sum(b, b.cast(best, DType::f32)), sum(b, top)), sum(b, peak));
      }),
      1);
}

TEST(Placements, RowsReadByIndexAndTheirSumsFollowTheIndices) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) {
              const ValueId best = b.one(Op::argmax, {x}, {{"axis", std::int64_t{2}}, {"last", std::int64_t{0}}});
              const ValueId rows = b.mul(b.one(Op::gather, {w, best}, {{"axis", std::int64_t{0}}}), x);
              return b.one(Op::scatter_add, {best, rows}, {{"axis", std::int64_t{0}}, {"shape", Dims{4, 4}}});
            }),
            1);
}

TEST(Placements, ReshapesToAnotherNumberOfRowsGetAllSamples) {
  EXPECT_GE(compare([](GraphBuilder& b, ValueId x, ValueId) {
              return b.unary(Op::tanh, b.reshape(b.unary(Op::exp, x), {8, 12}));
            }),
            1);
}

TEST(Placements, SharesOfSumsThatWrapOrCancelAreAddedBeforeACast) {
  GraphBuilder b;
  const ValueId n = b.input("n", InputRole::feed, {DType::u8, {4}});
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {4}});
  b.output("wrapped", OutputRole::fetch, b.cast(b.reduce(Op::reduce_sum, n, {0}), DType::f32));
  b.output("cancelled", OutputRole::fetch, b.cast(b.reduce(Op::reduce_sum, x, {0}), DType::f16));
  const Table inputs{{"n", Tensor::from<std::uint8_t>({4}, {200, 100, 90, 80})},
                     {"x", Tensor::from<float>({4}, {1e6F, 3, -1e6F, 2})}};
  for (const int ranks : {1, 2, 3, 8}) expect_same_on_ranks(b.graph(), ranks, inputs, 0);
}

TEST(Placements, BroadcastAndIotaAreMadeInParts) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId w) {
              const ValueId numbers = b.iota(DType::f32, {6, 4, 4}, 0);
              const ValueId shifted = b.broadcast_in(b.unary(Op::sin, w), {6, 4, 4}, {1, 2});
              return sum(b, b.mul(b.unary(Op::exp, b.mul(x, numbers)), shifted));
            }),
            1);
}

TEST(Placements, MomentsOverSamplesAreCombined) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId) {
              const std::vector<ValueId> m = b.node(Op::moments, {b.add(x, b.like(x, 100))}, {{"dims", Dims{0, 2}}});
              return b.concat({m[0], m[1]}, 0);
            }),
            1);
}

TEST(Placements, MomentsOfEachSampleStayLocal) {
  EXPECT_EQ(compare([](GraphBuilder& b, ValueId x, ValueId) {
              return sum(b, b.node(Op::moments, {x}, {{"dims", Dims{1, 2}}})[1]);
            }),
            1);
}

TEST(Placements, WhatNeedsAllSamplesGetsThem) {
  EXPECT_GE(compare([](GraphBuilder& b, ValueId x, ValueId) {
              return b.one(Op::softmax, {x}, {{"axis", std::int64_t{0}}});
            }),
            1);
  EXPECT_GE(compare([](GraphBuilder& b, ValueId x, ValueId) { return b.reduce(Op::reduce_max, x, {0}); }), 1);
  EXPECT_GE(compare([](GraphBuilder& b, ValueId x, ValueId) {
              return b.cast(b.binary(Op::less, x, b.like(x, 0)), DType::f32);
            }),
            1);
  EXPECT_GE(compare([](GraphBuilder& b, ValueId x, ValueId) {
              return b.slice(x, {1, 0, 0}, {6, 4, 4}, {2, 1, 1});
            }),
            1);
}

}  // namespace
}  // namespace weft
