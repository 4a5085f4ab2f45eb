// Buckets: ranks of different shares, none included, start the same collectives in the same order.
#include "graph/lowering/buckets.hpp"

#include <gtest/gtest.h>

#include <random>

#include "graph/ir/autodiff.hpp"
#include "graph/ir/builder.hpp"
#include "graph/lowering/lower.hpp"
#include "graph/partition/partition.hpp"
#include "kernels/cpu/cpu_device.hpp"

namespace weft {
namespace {

using lowering::plan_buckets;

ValueId all_reduced(GraphBuilder& b, ValueId v) {
  return b.one(Op::all_reduce, {v}, {{"axes", std::vector<std::string>{"data"}}, {"kind", std::string("sum")}});
}

TEST(Buckets, ACollectiveThatAnotherDependsOnTravelsAlone) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {16}});
  const ValueId first = all_reduced(b, x), apart = all_reduced(b, b.unary(Op::exp, x));
  const ValueId last = all_reduced(b, b.unary(Op::tanh, first));
  b.output("apart", OutputRole::fetch, apart);
  b.output("last", OutputRole::fetch, last);
  const NodeId id_first = b.graph().value(first).producer, id_apart = b.graph().value(apart).producer,
               id_last = b.graph().value(last).producer;
  EXPECT_EQ(plan_buckets(b.graph(), 1 << 20), (std::vector<std::vector<NodeId>>{{id_first}, {id_apart, id_last}}));
}

TEST(Buckets, GradientsOnWhichOnlyANormDependsShareABucketThatStartsBeforeIt) {
  GraphBuilder b;
  const ValueId x = b.input("x", InputRole::feed, {DType::f32, {32}});
  const ValueId first = all_reduced(b, x);
  const ValueId norm = all_reduced(b, b.reduce_all(Op::reduce_sum, first));
  const ValueId second = all_reduced(b, b.unary(Op::exp, x));  // after the norm of the first in the graph
  const ValueId clipped = all_reduced(b, b.reduce_all(Op::reduce_sum, b.mul(second, b.broadcast_to(norm, {32}))));
  b.output("clipped", OutputRole::fetch, clipped);
  const auto id = [&](ValueId v) { return b.graph().value(v).producer; };
  EXPECT_EQ(plan_buckets(b.graph(), 1 << 20),
            (std::vector<std::vector<NodeId>>{{id(first), id(second)}, {id(norm)}, {id(clipped)}}));
}

TEST(Buckets, ABucketHoldsAtMostItsBytesAndALargerMemberStaysAlone) {
  GraphBuilder b;
  std::vector<NodeId> ids;
  for (const std::int64_t elements : {16, 16, 16, 64, 16}) {
    const ValueId x = b.input("x" + std::to_string(ids.size()), InputRole::feed, {DType::f32, {elements}});
    const ValueId sum = all_reduced(b, x);
    b.output("sum" + std::to_string(ids.size()), OutputRole::fetch, sum);
    ids.push_back(b.graph().value(sum).producer);
  }
  EXPECT_EQ(plan_buckets(b.graph(), 128),
            (std::vector<std::vector<NodeId>>{{ids[0], ids[1]}, {ids[2]}, {ids[3]}, {ids[4]}}));
}

/// A step of random branches of dense layers, normalised over all samples or not at all, and its gradients.
Graph random_step(unsigned seed, std::int64_t samples) {
  std::mt19937 random(seed);
  const auto pick = [&](std::size_t n) { return random() % n; };
  GraphBuilder b;
  std::vector<ValueId> pool{b.input("x", InputRole::feed, {DType::f32, {samples, 8}})};
  std::vector<ValueId> weights;
  for (std::size_t i = 2 + pick(8); i > 0; --i) {
    const ValueId v = pool[pick(pool.size())];
    switch (pick(4)) {
      case 0:
      case 1: {
        weights.push_back(b.input("w" + std::to_string(weights.size()), InputRole::state, {DType::f32, {8, 8}}));
        pool.push_back(b.dot(v, weights.back(), {}, {}, {1}, {1}));
        break;
      }
      case 2: {
        weights.push_back(b.input("w" + std::to_string(weights.size()), InputRole::state, {DType::f32, {8}}));
        const Attributes norm{{"axis", std::int64_t{1}}, {"epsilon", 1e-5}, {"groups", std::int64_t{1}}};
        pool.push_back(b.node(Op::batch_norm, {v, weights.back(), weights.back()}, norm)[0]);
        break;
      }
      default: pool.push_back(b.add(b.unary(Op::relu, v), pool[pick(pool.size())]));
    }
  }
  ValueId total = pool[0];
  for (const ValueId v : pool) total = b.add(total, v);
  const ValueId loss = b.reduce(Op::reduce_sum, b.mul(total, total), {0, 1});
  b.output("loss", OutputRole::fetch, loss);
  const std::vector<ValueId> grads = gradients(b, loss, weights);
  for (std::size_t i = 0; i < grads.size(); ++i)
    b.output("w" + std::to_string(i), OutputRole::state, b.sub(weights[i], grads[i]));
  return std::move(b).take();
}

TEST(Buckets, RanksOfAllSharesStartTheSameCollectives) {
  auto device = make_cpu_device({});
  const Mesh mesh{{{"data", 3}}};
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    const Graph step = random_step(seed, 1 + seed % 5);
    LoweringOptions options;
    options.bucket_bytes = 1 << (seed % 12);
    options.guard = "loss";
    const auto signature = [&](int rank) {
      return lower(partition(step, mesh, rank), device->oracle(), options).program.collective_signature();
    };
    const std::string first = signature(0);
    EXPECT_FALSE(first.empty());
    EXPECT_EQ(signature(1), first);
    EXPECT_EQ(signature(2), first);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace weft
