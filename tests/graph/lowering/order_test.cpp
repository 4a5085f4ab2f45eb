// Orders: against a plain list, moved about at random and at one place.
#include "graph/lowering/order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace weft::lowering {
namespace {

void expect_order(const Order& order, const std::vector<int>& items) {
  for (std::size_t i = 1; i < items.size(); ++i) ASSERT_TRUE(order.before(items[i - 1], items[i])) << i;
}

TEST(Order, ItemsMovedAtRandomAreWhereAListHasThem) {
  std::mt19937 random(5);
  Order order(50);
  std::vector<int> list(50);
  for (int i = 0; i < 50; ++i) list[static_cast<std::size_t>(i)] = i;
  for (int round = 0; round < 5000; ++round) {
    const auto a = random() % list.size(), b = random() % list.size();
    const int item = list[a], next = list[b];
    if (a == b) continue;
    if (round % 50 == 0) {
      list[a] = order.replace(item);
    } else if (round % 333 == 0 && list.size() > 10) {
      order.remove(item);
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(a));
    } else {
      order.move_before(item, next);
      list.erase(list.begin() + static_cast<std::ptrdiff_t>(a));
      list.insert(std::find(list.begin(), list.end(), next), item);
    }
    expect_order(order, list);
  }
}

TEST(Order, AnyNumberOfItemsFindsRoomAtOnePlace) {
  constexpr int kItems = 20000;
  Order order(kItems);
  for (int i = 1; i + 1 < kItems; ++i) order.move_before(i, kItems - 1);
  for (int i = 2; i + 1 < kItems; ++i) ASSERT_TRUE(order.before(i - 1, i));
  EXPECT_TRUE(order.before(0, 1));
  for (int i = 1; i + 1 < kItems; ++i) order.move_before(i, 0);
  for (int i = 2; i + 1 < kItems; ++i) ASSERT_TRUE(order.before(i - 1, i));
  EXPECT_TRUE(order.before(kItems - 2, 0));
}

}  // namespace
}  // namespace weft::lowering
