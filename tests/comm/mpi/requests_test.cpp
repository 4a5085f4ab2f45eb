// Requests: many at once, waited for in any order, dropped without waiting; repeats give the same bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/comm/mpi/world.hpp"

namespace weft {
namespace {

using test::bytes;
using test::label;
using test::world;

TEST(Requests, ManyAllReducesOverlapAndDoNotMix) {
  constexpr int kOperations = 60;
  std::vector<std::vector<std::int64_t>> data;
  std::vector<std::unique_ptr<Request>> requests;
  for (int k = 0; k < kOperations; ++k)
    data.emplace_back(static_cast<std::size_t>(1 + k * k * 37), 1000 * k + world().rank());
  for (int k = 0; k < kOperations; ++k) {
    auto& values = data[static_cast<std::size_t>(k)];
    requests.push_back(world().start_all_reduce(bytes(values), bytes(values), static_cast<std::int64_t>(values.size()),
                                                DType::i64, ReduceKind::max, label("many")));
  }
  // Each rank waits in another order.
  for (int k = 0; k < kOperations; ++k)
    requests[static_cast<std::size_t>((k * 7 + world().rank() * 11) % kOperations)]->wait();
  for (int k = 0; k < kOperations; ++k)
    for (const std::int64_t value : data[static_cast<std::size_t>(k)]) ASSERT_EQ(value, 1000 * k + world().size() - 1);
}

TEST(Requests, DifferentKindsOverlap) {
  const auto ranks = static_cast<std::size_t>(world().size());
  std::vector<float> sum(200000, 1.0f), gathered(ranks * 50000), own(50000, static_cast<float>(world().rank()));
  std::vector<double> told(100000, world().rank() == 0 ? 2.5 : 0.0);
  auto a = world().start_all_reduce(bytes(sum), bytes(sum), 200000, DType::f32, ReduceKind::sum, label("a"));
  auto b = world().start_broadcast(bytes(told), 800000, 0, label("b"));
  auto c = world().start_all_gather(bytes(own), bytes(gathered), 50000, DType::f32, label("c"));
  c->wait();
  a->wait();
  b->wait();
  EXPECT_EQ(sum, std::vector<float>(200000, static_cast<float>(ranks)));
  EXPECT_EQ(told, std::vector<double>(100000, 2.5));
  for (std::size_t r = 0; r < ranks; ++r) ASSERT_EQ(gathered[r * 50000 + 49999], static_cast<float>(r));
}

TEST(Requests, ProgressWithoutAnyoneWaiting) {
  std::vector<float> values(3000000, 1.0f);
  auto request =
      world().start_all_reduce(bytes(values), bytes(values), 3000000, DType::f32, ReduceKind::sum, label("alone"));
  while (!request->done()) {
  }
  EXPECT_EQ(values[2999999], static_cast<float>(world().size()));
}

TEST(Requests, DroppingOneWaitsForItsBuffers) {
  std::vector<float> values(1000000, 1.0f);
  world().start_all_reduce(bytes(values), bytes(values), 1000000, DType::f32, ReduceKind::sum, label("dropped"));
  EXPECT_EQ(values, std::vector<float>(1000000, static_cast<float>(world().size())));
}

TEST(Requests, ARepeatGivesTheSameBitsHoweverTheArrayIsCut) {
  constexpr std::int64_t kCount = 700001;
  std::vector<float> whole(kCount), cut(kCount), mine(kCount);
  for (std::int64_t i = 0; i < kCount; ++i)
    mine[static_cast<std::size_t>(i)] =
        std::sin(static_cast<float>(i + 1)) * static_cast<float>(1 + world().rank() * 1000);
  world().start_all_reduce(bytes(mine), bytes(whole), kCount, DType::f32, ReduceKind::sum, label("whole"))->wait();
  std::vector<std::unique_ptr<Request>> requests;
  for (std::int64_t begin = 0, n = 1; begin < kCount; begin += n, n = std::min(3 * n, kCount - begin))
    requests.push_back(world().start_all_reduce(bytes(mine) + 4 * begin, bytes(cut) + 4 * begin, n, DType::f32,
                                                ReduceKind::sum, label("cut")));
  for (auto& request : requests) request->wait();
  EXPECT_EQ(std::memcmp(whole.data(), cut.data(), whole.size() * sizeof(float)), 0);
}

}  // namespace
}  // namespace weft
