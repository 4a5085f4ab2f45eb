// Blocking conveniences, and how ranks find out that they were not given the same.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "comm/first_difference.hpp"
#include "tests/comm/mpi/world.hpp"

namespace weft {
namespace {

using test::world;

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string as_text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(GatherBytes, KeepsEveryRanksLengthEmptyOnesToo) {
  const auto text_of = [](int r) {
    return std::string(static_cast<std::size_t>(r * 1000), static_cast<char>('a' + r));
  };
  const auto all = gather_bytes(world(), as_bytes(text_of(world().rank())), "gather");
  ASSERT_EQ(all.size(), static_cast<std::size_t>(world().size()));
  for (int r = 0; r < world().size(); ++r) EXPECT_EQ(as_text(all[static_cast<std::size_t>(r)]), text_of(r));
}

TEST(BroadcastBytes, SendsTheLengthFirst) {
  const int root = world().size() - 1;
  const std::string mine = world().rank() == root ? std::string(100000, 'x') : "another length";
  EXPECT_EQ(as_text(broadcast_bytes(world(), as_bytes(mine), root, "model")), std::string(100000, 'x'));
  EXPECT_EQ(broadcast_bytes(world(), {}, 0, "nothing").size(), 0u);
}

TEST(Barrier, NobodyLeavesBeforeAllCame) {
  for (int k = 0; k < 20; ++k) barrier(world(), "again");
}

TEST(FirstDifference, IsEmptyWhenAllAgree) {
  EXPECT_EQ(first_difference(world(), {{"job", "a: 1"}, {"plan", ""}}), "");
  EXPECT_EQ(first_difference(world(), {}), "");
}

TEST(FirstDifference, NamesTheFirstKeyTheRanksAndTheLine) {
  if (world().size() == 1) GTEST_SKIP() << "one rank agrees with itself";
  const bool odd_one = world().rank() == 1;
  const std::string message =
      first_difference(world(), {{"job", "name: x"},
                                 {"plan", fmt::format("mesh: data=2\nbatch: {}\nseed: 1", odd_one ? 64 : 32)},
                                 {"program", odd_one ? "A" : "B"}});
  EXPECT_NE(message.find("'plan'"), std::string::npos) << message;
  EXPECT_NE(message.find("rank 1: …batch: 64…"), std::string::npos) << message;
  EXPECT_NE(message.find("batch: 32"), std::string::npos) << message;
  EXPECT_EQ(message.find("seed"), std::string::npos) << message;
}

TEST(FirstDifference, ReportsAKeyThatARankLacks) {
  if (world().size() == 1) GTEST_SKIP() << "one rank agrees with itself";
  std::map<std::string, std::string> mine{{"a", "1"}};
  if (world().rank() == 0) mine["tuned"] = "";
  const std::string message = first_difference(world(), mine);
  EXPECT_NE(message.find("'tuned'"), std::string::npos) << message;
  EXPECT_NE(message.find("absent"), std::string::npos) << message;
  EXPECT_NE(message.find("rank 0: "), std::string::npos) << message;
}

}  // namespace
}  // namespace weft
