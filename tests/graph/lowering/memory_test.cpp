// The packer never overlaps what lives together, and stays close to the liveness bound.
#include "graph/lowering/memory.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "graph/lowering/sweep_packer.hpp"

namespace weft::lowering {
namespace {

TEST(Pack, BlocksThatNeverMeetShareMemory) {
  const Packing p = pack({{1000, 0, 1}, {1000, 2, 3}});
  EXPECT_EQ(p.offsets[0], p.offsets[1]);
  EXPECT_EQ(p.bytes, 1024);
  EXPECT_EQ(p.bound, 1024);
}

TEST(Pack, BlocksThatMeetAtOneStepDoNot) {
  const Packing p = pack({{64, 0, 2}, {64, 2, 3}});
  EXPECT_NE(p.offsets[0], p.offsets[1]);
  EXPECT_EQ(p.bytes, 128);
}

TEST(Pack, ActivationsKeptForTheBackwardPassPackToTheBound) {
  // n activations made in order and freed in reverse, with a temporary at each step.
  std::vector<Block> blocks;
  const int n = 50;
  for (int i = 0; i < n; ++i) {
    blocks.push_back({1 << (10 + i % 5), i, 2 * n - i});
    blocks.push_back({4096, i, i});
    blocks.push_back({2048, 2 * n - i, 2 * n - i + 1});
  }
  const Packing p = pack(blocks);
  EXPECT_LE(static_cast<double>(p.bytes), 1.05 * static_cast<double>(p.bound));
}

TEST(Pack, AnOrderThatOneGreedyPassMissesIsFound) {
  // Sizes and lifetimes as of a language model's step: a few huge blocks of short life among many that nest.
  std::mt19937 random(3);
  std::vector<Block> blocks;
  const int n = 200;
  for (int i = 0; i < n; ++i) blocks.push_back({static_cast<std::int64_t>(1 + random() % 4) * 1'500'000, i, 2 * n - i});
  for (int i = 0; i < 6; ++i) blocks.push_back({100'000'000, n - 10 + 4 * i, n - 8 + 4 * i});
  for (int i = 0; i < 2 * n; ++i)
    blocks.push_back({static_cast<std::int64_t>(random() % 9'000'000), i, i + static_cast<int>(random() % 6)});
  const Packing p = pack(blocks);
  EXPECT_LE(static_cast<double>(p.bytes), 1.05 * static_cast<double>(p.bound));
}

/// Whether two blocks that live at one step share a byte.
bool overlap(const Packing& p, const std::vector<Block>& blocks) {
  for (std::size_t a = 0; a < blocks.size(); ++a)
    for (std::size_t b = 0; b < a; ++b) {
      const bool meet = blocks[a].first <= blocks[b].last && blocks[b].first <= blocks[a].last;
      if (meet && p.offsets[a] < p.offsets[b] + arena_size(blocks[b]) &&
          p.offsets[b] < p.offsets[a] + arena_size(blocks[a]))
        return true;
    }
  return false;
}

TEST(PackBySweep, BlocksThatMeetDoNotOverlapAndHolesAreUsedAgain) {
  std::mt19937 random(21);
  std::vector<Block> blocks;
  for (int i = 0; i < 1500; ++i) {
    const int first = static_cast<int>(random() % 1000);
    blocks.push_back({static_cast<std::int64_t>(random() % 5000), first, first + static_cast<int>(random() % 60)});
  }
  const Packing p = pack_by_sweep(blocks);
  EXPECT_FALSE(overlap(p, blocks));
  std::int64_t height = 0;
  for (std::size_t b = 0; b < blocks.size(); ++b) height = std::max(height, p.offsets[b] + arena_size(blocks[b]));
  EXPECT_EQ(p.bytes, height);
  EXPECT_LE(static_cast<double>(p.bytes), 1.3 * static_cast<double>(pack(blocks).bound));
}

TEST(PackBySweep, TakesOverWhereThereAreVeryManyBlocks) {
  std::vector<Block> chain;
  for (int i = 0; i < 200'000; ++i) chain.push_back({256, i, i + 1});
  const Packing p = pack(chain);
  EXPECT_EQ(p.bound, 512);
  EXPECT_EQ(p.bytes, 512);
}

TEST(Pack, TheSameBlocksArePackedTheSameWay) {
  std::mt19937 random(11);
  std::vector<Block> blocks;
  for (int i = 0; i < 300; ++i) {
    const int first = static_cast<int>(random() % 200);
    blocks.push_back({static_cast<std::int64_t>(random() % 100'000), first, first + static_cast<int>(random() % 80)});
  }
  EXPECT_EQ(pack(blocks).offsets, pack(blocks).offsets);
  EXPECT_TRUE(pack({}).offsets.empty());
  EXPECT_EQ(pack({{0, 0, 3}}).bytes, 0);
}

TEST(Pack, RandomBlocksNeverOverlap) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    std::vector<Block> blocks;
    for (int i = 0; i < 60; ++i) {
      const int first = static_cast<int>(random() % 100);
      blocks.push_back({static_cast<std::int64_t>(random() % 5000), first, first + static_cast<int>(random() % 20)});
    }
    const Packing p = pack(blocks);
    for (std::size_t a = 0; a < blocks.size(); ++a) {
      EXPECT_EQ(p.offsets[a] % 64, 0);
      for (std::size_t b = 0; b < a; ++b) {
        if (blocks[a].last < blocks[b].first || blocks[b].last < blocks[a].first) continue;
        EXPECT_TRUE(p.offsets[a] + blocks[a].bytes <= p.offsets[b] || p.offsets[b] + blocks[b].bytes <= p.offsets[a]);
      }
    }
    EXPECT_GE(p.bytes, p.bound);
  }
}

}  // namespace
}  // namespace weft::lowering
