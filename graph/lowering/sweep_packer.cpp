// Holes by place and by size.
#include "graph/lowering/sweep_packer.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace weft::lowering {
namespace {

/// What is free below the top. Holes never touch each other.
class Holes {
 public:
  /// The offset of `size` bytes that are taken from the smallest hole that has them, or from the top.
  std::int64_t take(std::int64_t size) {
    const auto found = by_size_.lower_bound({size, 0});
    if (found == by_size_.end()) return take_from_top(size);
    const auto [hole, offset] = *found;
    erase(offset, hole);
    if (hole > size) insert(offset + size, hole - size);
    return offset;
  }

  void give_back(std::int64_t offset, std::int64_t size) {
    const auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.begin()) {
      const auto [before, hole] = *std::prev(next);
      if (before + hole == offset) {
        erase(before, hole);
        offset = before, size += hole;
      }
    }
    if (next != by_offset_.end() && next->first == offset + size) {
      const auto [after, hole] = *next;
      erase(after, hole);
      size += hole;
    }
    insert(offset, size);
  }

  std::int64_t top() const { return top_; }

 private:
  std::int64_t take_from_top(std::int64_t size) {
    std::int64_t offset = top_;
    if (!by_offset_.empty()) {
      const auto [last, hole] = *by_offset_.rbegin();
      if (last + hole == top_) {
        erase(last, hole);
        offset = last;
      }
    }
    top_ = offset + size;
    return offset;
  }
  void insert(std::int64_t offset, std::int64_t size) {
    by_offset_.emplace(offset, size);
    by_size_.emplace(size, offset);
  }
  void erase(std::int64_t offset, std::int64_t size) {
    by_offset_.erase(offset);
    by_size_.erase({size, offset});
  }

  std::map<std::int64_t, std::int64_t> by_offset_;
  std::set<std::pair<std::int64_t, std::int64_t>> by_size_;
  std::int64_t top_ = 0;
};

}  // namespace

Packing pack_by_sweep(const std::vector<Block>& blocks) {
  Packing packing;
  packing.offsets.assign(blocks.size(), 0);
  std::vector<std::size_t> order(blocks.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::pair(blocks[a].first, -blocks[a].bytes) < std::pair(blocks[b].first, -blocks[b].bytes);
  });
  using Ending = std::pair<int, std::size_t>;
  std::priority_queue<Ending, std::vector<Ending>, std::greater<>> live;
  Holes holes;
  for (const std::size_t b : order) {
    const std::int64_t size = arena_size(blocks[b]);
    if (size == 0) continue;
    for (; !live.empty() && live.top().first < blocks[b].first; live.pop())
      holes.give_back(packing.offsets[live.top().second], arena_size(blocks[live.top().second]));
    packing.offsets[b] = holes.take(size);
    live.emplace(blocks[b].last, b);
  }
  packing.bytes = holes.top();
  return packing;
}

}  // namespace weft::lowering
