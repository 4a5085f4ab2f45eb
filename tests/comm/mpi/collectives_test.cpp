// Every collective gives what plain MPI, or the sum written out by hand, gives: for every type, kind and odd count.
#include <gtest/gtest.h>
#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <span>

#include "tests/comm/mpi/world.hpp"

namespace weft {
namespace {

using test::bytes;
using test::label;
using test::world;

// Below, at and above the sizes where the algorithm changes; one window and several; not divisible by rank counts.
const std::vector<std::int64_t> kCounts = {0, 1, 2, 3, 5, 1000, 4099, 65537, 1000003};

template <class T>
MPI_Datatype mpi_type() {
  if constexpr (std::is_same_v<T, double>) return MPI_DOUBLE;
  if constexpr (std::is_same_v<T, float>) return MPI_FLOAT;
  if constexpr (std::is_same_v<T, std::int64_t>) return MPI_INT64_T;
  if constexpr (std::is_same_v<T, std::int32_t>) return MPI_INT32_T;
  if constexpr (std::is_same_v<T, std::int16_t>) return MPI_INT16_T;
  if constexpr (std::is_same_v<T, std::int8_t>) return MPI_INT8_T;
  if constexpr (std::is_same_v<T, std::uint64_t>) return MPI_UINT64_T;
  if constexpr (std::is_same_v<T, std::uint32_t>) return MPI_UINT32_T;
  if constexpr (std::is_same_v<T, std::uint16_t>) return MPI_UINT16_T;
  if constexpr (std::is_same_v<T, std::uint8_t>) return MPI_UINT8_T;
}

// Small whole numbers: exact in every type, so that any order of summation gives the same.
template <class T>
std::vector<T> whole_numbers(std::int64_t count, int rank) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<T>((i * 7 + static_cast<std::size_t>(rank) * 13) % 29);
  return values;
}

template <class T>
void all_reduce_equals_mpi() {
  for (const auto& [kind, op] :
       {std::pair{ReduceKind::sum, MPI_SUM}, {ReduceKind::max, MPI_MAX}, {ReduceKind::min, MPI_MIN}})
    for (const std::int64_t count : kCounts) {
      const std::vector<T> mine = whole_numbers<T>(count, world().rank());
      std::vector<T> expected(mine.size()), result(mine.size()), in_place = mine;
      MPI_Allreduce(mine.data(), expected.data(), static_cast<int>(count), mpi_type<T>(), op, MPI_COMM_WORLD);
      auto from = mine;
      world().start_all_reduce(bytes(from), bytes(result), count, dtype_of<T>(), kind, label("sum"))->wait();
      ASSERT_EQ(result, expected) << count;
      ASSERT_EQ(from, mine) << "the input must stay";
      world().start_all_reduce(bytes(in_place), bytes(in_place), count, dtype_of<T>(), kind, label("sum"))->wait();
      ASSERT_EQ(in_place, expected) << count;
    }
}

TEST(AllReduce, EqualsMpiForF64) { all_reduce_equals_mpi<double>(); }
TEST(AllReduce, EqualsMpiForF32) { all_reduce_equals_mpi<float>(); }
TEST(AllReduce, EqualsMpiForI64) { all_reduce_equals_mpi<std::int64_t>(); }
TEST(AllReduce, EqualsMpiForI32) { all_reduce_equals_mpi<std::int32_t>(); }
TEST(AllReduce, EqualsMpiForI16) { all_reduce_equals_mpi<std::int16_t>(); }
TEST(AllReduce, EqualsMpiForI8) { all_reduce_equals_mpi<std::int8_t>(); }
TEST(AllReduce, EqualsMpiForU64) { all_reduce_equals_mpi<std::uint64_t>(); }
TEST(AllReduce, EqualsMpiForU32) { all_reduce_equals_mpi<std::uint32_t>(); }
TEST(AllReduce, EqualsMpiForU16) { all_reduce_equals_mpi<std::uint16_t>(); }
TEST(AllReduce, EqualsMpiForU8) { all_reduce_equals_mpi<std::uint8_t>(); }

// A value of its own for every rank and element, so that rounding shows the order of summation.
float uneven(std::int64_t i, int rank) {
  return std::sin(static_cast<float>(i % 9973) * 0.37f + static_cast<float>(rank)) *
         std::pow(10.0f, static_cast<float>((i + rank) % 5));
}

TEST(AllReduce, SumsF32InRankOrderWhateverTheCount) {
  for (const std::int64_t count : kCounts) {
    std::vector<float> mine(static_cast<std::size_t>(count)), expected(mine.size());
    for (std::int64_t i = 0; i < count; ++i) {
      mine[static_cast<std::size_t>(i)] = uneven(i, world().rank());
      float sum = uneven(i, 0);
      for (int r = 1; r < world().size(); ++r) sum += uneven(i, r);
      expected[static_cast<std::size_t>(i)] = sum;
    }
    world().start_all_reduce(bytes(mine), bytes(mine), count, DType::f32, ReduceKind::sum, label("sum"))->wait();
    ASSERT_TRUE(std::ranges::equal(std::as_bytes(std::span(mine)), std::as_bytes(std::span(expected)))) << count;
  }
}

template <class T>
void sums_in_f32_and_rounds_once() {
  for (const std::int64_t count : kCounts) {
    std::vector<T> mine(static_cast<std::size_t>(count)), result(mine.size());
    for (std::int64_t i = 0; i < count; ++i) mine[static_cast<std::size_t>(i)] = T(uneven(i, world().rank()));
    world().start_all_reduce(bytes(mine), bytes(result), count, dtype_of<T>(), ReduceKind::sum, label("sum"))->wait();
    for (std::int64_t i = 0; i < count; ++i) {
      float sum = static_cast<float>(T(uneven(i, 0)));
      for (int r = 1; r < world().size(); ++r) sum += static_cast<float>(T(uneven(i, r)));
      ASSERT_EQ(result[static_cast<std::size_t>(i)].bits, T(sum).bits) << i;
    }
  }
}

TEST(AllReduce, SumsBf16InF32AndRoundsOnce) { sums_in_f32_and_rounds_once<BFloat16>(); }
TEST(AllReduce, SumsF16InF32AndRoundsOnce) { sums_in_f32_and_rounds_once<Half>(); }

TEST(AllReduce, OnBoolSumAndMaxMeanOrAndMinMeansAnd) {
  const auto reduce = [](bool mine, ReduceKind kind) {
    std::byte value{mine};
    world().start_all_reduce(&value, &value, 1, DType::boolean, kind, label("flag"))->wait();
    return value == std::byte{1};
  };
  const bool last = world().rank() == world().size() - 1, alone = world().size() == 1;
  for (const ReduceKind any : {ReduceKind::sum, ReduceKind::max}) {
    EXPECT_TRUE(reduce(last, any));
    EXPECT_FALSE(reduce(false, any));
  }
  EXPECT_TRUE(reduce(true, ReduceKind::min));
  EXPECT_EQ(reduce(last, ReduceKind::min), alone);
}

TEST(AllReduce, MaximumIsNanWhenAnyRankHasNan) {
  for (const ReduceKind kind : {ReduceKind::max, ReduceKind::min, ReduceKind::sum}) {
    const bool last = world().rank() == world().size() - 1;
    float value = last ? std::numeric_limits<float>::quiet_NaN() : 1.0f;
    auto* at = reinterpret_cast<std::byte*>(&value);
    world().start_all_reduce(at, at, 1, DType::f32, kind, label("nan"))->wait();
    EXPECT_TRUE(std::isnan(value));
  }
}

TEST(ReduceScatter, GivesEachRankItsPartOfTheSum) {
  const int ranks = world().size();
  for (const std::int64_t count : kCounts) {
    auto mine = whole_numbers<float>(count * ranks, world().rank());
    std::vector<float> sum(mine.size()), part(static_cast<std::size_t>(count));
    MPI_Allreduce(mine.data(), sum.data(), static_cast<int>(sum.size()), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    const auto begin = sum.begin() + world().rank() * count;
    world().start_reduce_scatter(bytes(mine), bytes(part), count, DType::f32, ReduceKind::sum, label("part"))->wait();
    ASSERT_TRUE(std::equal(part.begin(), part.end(), begin)) << count;
    world().start_reduce_scatter(bytes(mine), bytes(mine), count, DType::f32, ReduceKind::sum, label("part"))->wait();
    ASSERT_TRUE(std::equal(part.begin(), part.end(), mine.begin())) << "in place, " << count;
  }
}

TEST(AllGather, EqualsMpiApartAndInPlace) {
  const auto ranks = static_cast<std::size_t>(world().size());
  for (const std::int64_t count : kCounts) {
    auto mine = whole_numbers<std::int32_t>(count, world().rank());
    std::vector<std::int32_t> expected(mine.size() * ranks), result(expected.size()), own(expected.size());
    MPI_Allgather(mine.data(), static_cast<int>(count), MPI_INT32_T, expected.data(), static_cast<int>(count),
                  MPI_INT32_T, MPI_COMM_WORLD);
    world().start_all_gather(bytes(mine), bytes(result), count, DType::i32, label("gather"))->wait();
    ASSERT_EQ(result, expected) << count;
    // From the rank's own part of the result, and from its beginning.
    std::copy(mine.begin(), mine.end(), own.begin() + world().rank() * count);
    world()
        .start_all_gather(bytes(own) + world().rank() * count * 4, bytes(own), count, DType::i32, label("gather"))
        ->wait();
    ASSERT_EQ(own, expected) << count;
    std::copy(mine.begin(), mine.end(), own.begin());
    world().start_all_gather(bytes(own), bytes(own), count, DType::i32, label("gather"))->wait();
    ASSERT_EQ(own, expected) << count;
  }
}

TEST(AllToAll, EqualsMpiApartAndInPlace) {
  const auto ranks = static_cast<std::size_t>(world().size());
  for (const std::int64_t count : kCounts) {
    auto mine = whole_numbers<std::int64_t>(count * world().size(), world().rank());
    std::vector<std::int64_t> expected(mine.size()), result(mine.size());
    MPI_Alltoall(mine.data(), static_cast<int>(count), MPI_INT64_T, expected.data(), static_cast<int>(count),
                 MPI_INT64_T, MPI_COMM_WORLD);
    world().start_all_to_all(bytes(mine), bytes(result), count, DType::i64, label("exchange"))->wait();
    ASSERT_EQ(result, expected) << count << " x " << ranks;
    world().start_all_to_all(bytes(mine), bytes(mine), count, DType::i64, label("exchange"))->wait();
    ASSERT_EQ(mine, expected) << count;
  }
}

TEST(Broadcast, BringsEveryRootsDataToAll) {
  for (int root = 0; root < world().size(); ++root)
    for (const std::int64_t count : kCounts) {
      const auto expected = whole_numbers<std::int64_t>(count, root);
      auto data = world().rank() == root ? expected : std::vector<std::int64_t>(expected.size());
      world().start_broadcast(bytes(data), count * 8, root, label("broadcast"))->wait();
      ASSERT_EQ(data, expected) << "root " << root << ", " << count;
    }
}

TEST(SendAndReceive, ArriveInTheOrderSent) {
  const int next = (world().rank() + 1) % world().size(),
            previous = (world().rank() + world().size() - 1) % world().size();
  if (next == world().rank()) GTEST_SKIP() << "one rank has no peer";
  for (const std::int64_t count : kCounts) {
    auto first = whole_numbers<float>(count, world().rank()), second = whole_numbers<float>(count, world().rank() + 50);
    std::vector<float> got_first(first.size()), got_second(first.size());
    std::vector<std::unique_ptr<Request>> requests;
    requests.push_back(world().start_send(bytes(first), count * 4, next, label("first")));
    requests.push_back(world().start_send(bytes(second), count * 4, next, label("second")));
    requests.push_back(world().start_receive(bytes(got_first), count * 4, previous, label("first")));
    requests.push_back(world().start_receive(bytes(got_second), count * 4, previous, label("second")));
    for (auto& request : requests) request->wait();
    ASSERT_EQ(got_first, whole_numbers<float>(count, previous));
    ASSERT_EQ(got_second, whole_numbers<float>(count, previous + 50));
  }
}

// More than an int counts, and more than one MPI message holds. Takes 2 GiB a rank: WEFT_LARGE=1 asks for it.
TEST(LargeCounts, BeyondTwoToTheThirtyFirstWork) {
  if (std::getenv("WEFT_LARGE") == nullptr) GTEST_SKIP() << "takes 2 GiB a rank: set WEFT_LARGE=1";
  constexpr std::int64_t kCount = (std::int64_t{1} << 31) + 1;
  std::vector<std::uint8_t> values(static_cast<std::size_t>(kCount));
  const auto drawn = [](std::int64_t i, int rank) { return static_cast<std::uint8_t>((i % 251) * (rank + 3)); };
  for (std::int64_t i = 0; i < kCount; ++i) values[static_cast<std::size_t>(i)] = drawn(i, world().rank());
  world().start_all_reduce(bytes(values), bytes(values), kCount, DType::u8, ReduceKind::sum, label("large"))->wait();
  const auto sum = [&](std::int64_t i) {
    std::uint8_t total = 0;
    for (int r = 0; r < world().size(); ++r) total = static_cast<std::uint8_t>(total + drawn(i, r));
    return total;
  };
  for (std::int64_t i = 0; i < kCount; ++i) ASSERT_EQ(values[static_cast<std::size_t>(i)], sum(i)) << i;

  if (world().rank() != 0) std::fill(values.begin(), values.end(), std::uint8_t{0});
  world().start_broadcast(bytes(values), kCount, 0, label("large"))->wait();
  for (std::int64_t i = 0; i < kCount; ++i) ASSERT_EQ(values[static_cast<std::size_t>(i)], sum(i)) << i;
}

}  // namespace
}  // namespace weft
