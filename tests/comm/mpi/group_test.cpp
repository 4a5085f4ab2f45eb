// Groups: where ranks are, how they split, and that parts do not hear each other.
#include <gtest/gtest.h>
#include <mpi.h>

#include "tests/comm/mpi/world.hpp"

namespace weft {
namespace {

using test::bytes;
using test::label;
using test::world;

TEST(World, HasMpisRanksAllOnThisNode) {
  int rank = 0, size = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  EXPECT_EQ(world().rank(), rank);
  EXPECT_EQ(world().size(), size);
  EXPECT_EQ(world().node_rank(), rank);
  EXPECT_EQ(world().node_size(), size);
}

TEST(World, TakesHostBuffersAndRefusesDeviceBuffersWithAReason) {
  std::string reason;
  EXPECT_TRUE(world().accepts(CollectiveKind::all_reduce, MemorySpace::pinned, DType::bf16, &reason));
  EXPECT_FALSE(world().accepts(CollectiveKind::all_reduce, MemorySpace::device, DType::f32, &reason));
  EXPECT_NE(reason.find("host"), std::string::npos) << reason;
}

TEST(Split, ByParityGroupsEveryOtherRank) {
  const auto half = world().split(world().rank() % 2, world().rank());
  EXPECT_EQ(half->size(), (world().size() + 1 - world().rank() % 2) / 2);
  EXPECT_EQ(half->rank(), world().rank() / 2);
  EXPECT_EQ(half->node_size(), half->size());
  std::int64_t sum = world().rank(), expected = 0;
  auto* at = reinterpret_cast<std::byte*>(&sum);
  for (int r = world().rank() % 2; r < world().size(); r += 2) expected += r;
  half->start_all_reduce(at, at, 1, DType::i64, ReduceKind::sum, label("half"))->wait();
  EXPECT_EQ(sum, expected);
}

TEST(Split, OrdersByKeyThenByRank) {
  const auto reversed = world().split(-5, -world().rank());
  EXPECT_EQ(reversed->rank(), world().size() - 1 - world().rank());
  const auto same = world().split(7, 0);
  EXPECT_EQ(same->rank(), world().rank());
}

TEST(Split, PartsAndWholeWorkAtTheSameTime) {
  const auto part = world().split(world().rank() / 2, 0);
  std::vector<std::int32_t> inner(100000, 1), outer(100000, 1);
  auto a = part->start_all_reduce(bytes(inner), bytes(inner), 100000, DType::i32, ReduceKind::sum, label("inner"));
  auto b = world().start_all_reduce(bytes(outer), bytes(outer), 100000, DType::i32, ReduceKind::sum, label("outer"));
  b->wait();
  a->wait();
  EXPECT_EQ(inner, std::vector<std::int32_t>(100000, part->size()));
  EXPECT_EQ(outer, std::vector<std::int32_t>(100000, world().size()));
}

TEST(Split, OfASplitWorksToo) {
  const auto pair = world().split(world().rank() / 2, 0);
  const auto alone = pair->split(pair->rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  float value = 3;
  auto* at = reinterpret_cast<std::byte*>(&value);
  alone->start_all_reduce(at, at, 1, DType::f32, ReduceKind::sum, label("alone"))->wait();
  EXPECT_EQ(value, 3);
}

}  // namespace
}  // namespace weft
