// Shards against the parts that the interpreter takes; states that are added, read and written in parts.
#include "weft/shard.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/graph/partition/drawn_placement.hpp"
#include "tests/graph/partition/lockstep.hpp"
#include "tests/support/host_device.hpp"
#include "weft/error.hpp"
#include "weft/state.hpp"

namespace weft::test {
namespace {

/// Every element tells where it is.
Tensor numbered(const Shape& shape) {
  Tensor tensor(DType::i32, shape);
  auto values = tensor.mutable_values<std::int32_t>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int32_t>(i + 1);
  return tensor;
}

std::span<const std::byte> bytes_of(const Tensor& tensor) { return {tensor.data(), tensor.bytes()}; }

AxisPlacement split_of(int dimension, Dims extents, std::int64_t blocks = 1) {
  return {AxisPlacement::Kind::split, dimension, std::move(extents), blocks};
}

TEST(Shards, AreThePartsThatTheInterpreterTakes) {
  testing::Dice dice(7);
  for (int draws = 0; draws < 3000; ++draws) {
    const Tensor whole = numbered(drawn_shape(dice));
    const TensorType type{whole.dtype(), whole.shape()};
    const DrawnPlacement drawn = drawn_placement(dice, whole.shape());
    SCOPED_TRACE(drawn.placement.str() + " of " + type.str() + " over " + drawn.mesh.str());
    std::vector<int> holders(static_cast<std::size_t>(whole.elements()), 0);
    for (int rank = 0; rank < drawn.mesh.ranks(); ++rank) {
      const Shard shard = shard_of(type, drawn.placement, drawn.mesh, rank);
      const Tensor expected = part_of(whole, drawn.placement, drawn.mesh.coordinates(rank));
      ASSERT_EQ(shard.local.shape, expected.shape());
      Tensor part(shard.local.dtype, shard.local.shape);
      for (const ShardRun& run : shard.runs)
        std::memcpy(part.mutable_data() + run.local_offset, whole.data() + run.whole_offset,
                    static_cast<std::size_t>(run.bytes));
      ASSERT_TRUE(part.identical(expected)) << "rank " << rank;
      if (shard.first_replica)
        for (const std::int32_t element : part.values<std::int32_t>()) ++holders[static_cast<std::size_t>(element - 1)];
    }
    for (const int holder : holders) ASSERT_EQ(holder, 1) << "each element has one first replica";
  }
}

TEST(Shards, RangesOfTheWholeAreRangesOfThePart) {
  testing::Dice dice(8);
  for (int draws = 0; draws < 2000; ++draws) {
    const Tensor whole = numbered(drawn_shape(dice));
    const DrawnPlacement drawn = drawn_placement(dice, whole.shape());
    const int rank = static_cast<int>(dice.roll(0, drawn.mesh.ranks() - 1));
    const Shard shard = shard_of({whole.dtype(), whole.shape()}, drawn.placement, drawn.mesh, rank);
    const auto bytes = static_cast<std::int64_t>(whole.bytes());
    const std::int64_t step = dice.roll(1, std::max<std::int64_t>(bytes, 1));
    std::vector<std::byte> part, again(whole.bytes());
    for (std::int64_t at = 0; at < bytes; at += step) {
      const ByteRange range{at, std::min(step, bytes - at)}, local = local_range(shard, range);
      ASSERT_EQ(local.offset, std::ssize(part));
      std::vector<std::byte> some(static_cast<std::size_t>(local.bytes));
      const auto at_range = static_cast<std::size_t>(at), size = static_cast<std::size_t>(range.bytes);
      take_part(shard, range, bytes_of(whole).subspan(at_range, size), some);
      part.insert(part.end(), some.begin(), some.end());
      put_part(shard, range, some, std::span(again).subspan(at_range, size));
    }
    const Tensor expected = part_of(whole, drawn.placement, drawn.mesh.coordinates(rank));
    ASSERT_TRUE(std::ranges::equal(part, bytes_of(expected)));
    // What was put back is the whole where the part holds it, and untouched elsewhere.
    for (const ShardRun& run : shard.runs) {
      const auto offset = static_cast<std::size_t>(run.whole_offset), size = static_cast<std::size_t>(run.bytes);
      ASSERT_EQ(std::memcmp(again.data() + offset, whole.data() + offset, size), 0);
      std::memset(again.data() + offset, 0, size);
    }
    ASSERT_TRUE(std::all_of(again.begin(), again.end(), [](std::byte b) { return b == std::byte{0}; }));
  }
}

TEST(Shards, HaveAsFewRunsAsCanBe) {
  const Mesh mesh{{{"tensor", 2}}};
  const auto runs = [&](const Shape& shape, const AxisPlacement& axis) {
    return shard_of({DType::f32, shape}, {{axis}}, mesh, 1).runs.size();
  };
  EXPECT_EQ(runs({8, 4}, split_of(0, {4, 4})), 1u);
  EXPECT_EQ(runs({8, 4}, split_of(1, {2, 2})), 8u);
  EXPECT_EQ(runs({8, 4, 5}, split_of(1, {0, 4})), 1u);
  EXPECT_EQ(runs({6, 4}, split_of(0, {1, 1}, 3)), 3u);
  EXPECT_EQ(runs({0, 4}, split_of(1, {2, 2})), 0u);
  EXPECT_EQ(runs({}, {}), 1u);
  EXPECT_TRUE(shard_of({DType::f32, {8, 4}}, {}, mesh, 1).is_whole());
}

TEST(Shards, OfTensorsBeyondTwoGibibytesHaveTheirOffsets) {
  const Mesh mesh{{{"tensor", 2}}};
  const std::int64_t rows = std::int64_t{1} << 20, columns = 4096;  // 16 GiB
  const Shard shard = shard_of({DType::f32, {rows, columns}}, {{split_of(0, {1, rows - 1})}}, mesh, 1);
  EXPECT_EQ(shard.runs, (std::vector<ShardRun>{{columns * 4, 0, (rows - 1) * columns * 4}}));
  EXPECT_EQ(local_range(shard, {0, rows * columns * 4}), (ByteRange{0, (rows - 1) * columns * 4}));
}

TEST(Shards, OfPlacementsThatDoNotFitAreFaults) {
  const Mesh mesh{{{"tensor", 2}}};
  const TensorType type{DType::f32, {8, 4}};
  EXPECT_THROW(shard_of(type, {{split_of(0, {4, 3})}}, mesh, 0), InternalError);
  EXPECT_THROW(shard_of(type, {{split_of(2, {4, 4})}}, mesh, 0), InternalError);
  EXPECT_THROW(shard_of(type, {{split_of(0, {4, 4}), {}}}, mesh, 0), InternalError);
  EXPECT_THROW(shard_of(type, {{split_of(0, {4, 4, 0})}}, mesh, 0), InternalError);
  EXPECT_THROW(shard_of(type, {{{AxisPlacement::Kind::partial, 0, {}, 1}}}, mesh, 0), InternalError);
  EXPECT_THROW(shard_from(type, {{{0, 9}}, {{0, 4}}}), InternalError);
  EXPECT_THROW(shard_from(type, {{{2, 1}, {1, 1}}, {{0, 4}}}), InternalError);
  EXPECT_THROW(shard_from(type, {{{0, 8}}}), InternalError);
}

TEST(States, ThatArePartsTakeTheirPartOfAValue) {
  testing::HostDevice device;
  StateTable table(device);
  const Mesh mesh{{{"tensor", 3}}};
  const Tensor whole = numbered({1 << 10, 3 << 10});  // 12 MiB: several windows
  const Placement placement{{split_of(1, {1024, 1024, 1024})}};
  const TensorType type{whole.dtype(), whole.shape()};
  const Tensor part = part_of(whole, placement, {1});
  std::int64_t most = 0;
  const InitialValue value(type.dtype, type.shape, [&](std::int64_t offset, std::span<std::byte> to) {
    most = std::max(most, std::ssize(to));
    std::memcpy(to.data(), whole.data() + offset, to.size());
  });
  table.add("w", value, StateScope::lasting, shard_of(type, placement, mesh, 1));
  EXPECT_TRUE(table.read("w").identical(part));
  EXPECT_LE(most, 4 << 20) << "never the whole at once";
  EXPECT_EQ(table.bytes(), 4 << 20);

  table.add("zeros", InitialValue::zeros(type.dtype, type.shape), StateScope::lasting,
            shard_of(type, placement, mesh, 1));
  EXPECT_TRUE(table.read("zeros").identical(Tensor(part.dtype(), part.shape())));
  table.write_part("zeros", whole);
  EXPECT_TRUE(table.read("zeros").identical(part));
  EXPECT_THROW(table.write_part("zeros", part), InternalError);
  EXPECT_THROW(table.write("zeros", whole), InternalError);
  EXPECT_THROW(table.add("x", whole, StateScope::lasting, whole_shard({DType::f32, {2}})), InternalError);

  const std::int32_t two[2] = {-1, -2};
  table.write_bytes("w", 4, std::as_bytes(std::span(two)));
  EXPECT_EQ(table.read("w").values<std::int32_t>()[2], -2);
  EXPECT_THROW(table.write_bytes("w", (4 << 20) - 4, std::as_bytes(std::span(two))), InternalError);
}

}  // namespace
}  // namespace weft::test
