// The arena packer.
#include "graph/lowering/memory.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "graph/lowering/liveness.hpp"
#include "graph/lowering/sweep_packer.hpp"

namespace weft::lowering {
namespace {

// Beyond, every block is not compared with every other: no model that is trained comes near.
constexpr std::size_t kMostCompared = 16384;

std::int64_t liveness_bound(const std::vector<Block>& blocks) {
  std::map<int, std::int64_t> change;
  for (const Block& b : blocks) {
    change[b.first] += arena_size(b);
    change[b.last + 1] -= arena_size(b);
  }
  std::int64_t live = 0, bound = 0;
  for (const auto& [step, delta] : change) bound = std::max(bound, live += delta);
  return bound;
}

/// Blocks in the order given, each at the lowest offset where it fits between those placed before it.
Packing pack_in_order(const std::vector<Block>& blocks, const std::vector<std::size_t>& order) {
  Packing packing;
  packing.offsets.assign(blocks.size(), 0);
  std::vector<std::size_t> placed;  // by offset
  for (const std::size_t b : order) {
    const std::int64_t size = arena_size(blocks[b]);
    if (size == 0) continue;
    std::int64_t cursor = 0, best = -1, best_gap = std::numeric_limits<std::int64_t>::max();
    for (const std::size_t other : placed) {
      if (blocks[other].last < blocks[b].first || blocks[b].last < blocks[other].first) continue;
      const std::int64_t gap = packing.offsets[other] - cursor;
      if (gap >= size && gap < best_gap) best = cursor, best_gap = gap;
      cursor = std::max(cursor, packing.offsets[other] + arena_size(blocks[other]));
    }
    packing.offsets[b] = best >= 0 ? best : cursor;
    packing.bytes = std::max(packing.bytes, packing.offsets[b] + size);
    const auto at =
        std::upper_bound(placed.begin(), placed.end(), packing.offsets[b],
                         [&](std::int64_t offset, std::size_t other) { return offset < packing.offsets[other]; });
    placed.insert(at, b);
  }
  return packing;
}

/// Packs in one order after another: a block that sticks out on top comes first in the next. What it may cost is
/// counted in blocks looked at, not in time, so that equal blocks are packed equally everywhere.
class Search {
 public:
  explicit Search(const std::vector<Block>& blocks) : blocks_(blocks), bound_(liveness_bound(blocks)) {}

  template <class Before>
  void from(Before before) {
    std::vector<std::size_t> order(blocks_.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), before);
    const std::int64_t pairs = std::max<std::int64_t>(1, static_cast<std::int64_t>(order.size() * order.size()));
    const std::int64_t rounds = std::clamp<std::int64_t>(kPairsAStart / pairs, 1, kMostRounds);
    for (std::int64_t r = 0; r < rounds && !good_enough(); ++r) {
      Packing packing = pack_in_order(blocks_, order);
      const std::size_t top = highest(packing, order);
      if (best_.offsets.size() != blocks_.size() || packing.bytes < best_.bytes) best_ = std::move(packing);
      std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top),
                  order.begin() + static_cast<std::ptrdiff_t>(top) + 1);
    }
  }

  Packing best() {
    best_.offsets.resize(blocks_.size());
    best_.bound = bound_;
    return std::move(best_);
  }

 private:
  static constexpr std::int64_t kPairsAStart = 30'000'000, kMostRounds = 200;

  /// Within a percent of what no packing can beat.
  bool good_enough() const { return best_.offsets.size() == blocks_.size() && best_.bytes - bound_ <= bound_ / 100; }

  /// The position in `order` of the first block that ends at the packing's height; 0 where there is none.
  std::size_t highest(const Packing& packing, const std::vector<std::size_t>& order) const {
    const auto found = std::find_if(order.begin(), order.end(), [&](std::size_t b) {
      return packing.offsets[b] + arena_size(blocks_[b]) == packing.bytes;
    });
    return found == order.end() ? 0 : static_cast<std::size_t>(found - order.begin());
  }

  const std::vector<Block>& blocks_;
  std::int64_t bound_;
  Packing best_;
};

}  // namespace

std::int64_t arena_size(const Block& block) { return (block.bytes + 63) / 64 * 64; }

Packing pack(const std::vector<Block>& blocks) {
  if (blocks.size() > kMostCompared) {
    Packing packing = pack_by_sweep(blocks);
    packing.bound = liveness_bound(blocks);
    return packing;
  }
  Search search(blocks);
  const auto span = [&](std::size_t b) { return static_cast<std::int64_t>(blocks[b].last) - blocks[b].first + 1; };
  search.from([&](std::size_t a, std::size_t b) { return blocks[a].bytes > blocks[b].bytes; });
  // Long-lived blocks first does better where many lifetimes nest, as activations kept for the backward pass do.
  search.from([&](std::size_t a, std::size_t b) { return span(a) > span(b); });
  search.from([&](std::size_t a, std::size_t b) {
    return static_cast<double>(blocks[a].bytes) * static_cast<double>(span(a)) >
           static_cast<double>(blocks[b].bytes) * static_cast<double>(span(b));
  });
  search.from([&](std::size_t a, std::size_t b) { return blocks[a].first < blocks[b].first; });
  return search.best();
}

Packing pack_apart(const std::vector<Block>& blocks) {
  Packing packing;
  for (const Block& b : blocks) {
    packing.offsets.push_back(packing.bytes);
    packing.bytes += arena_size(b);
  }
  packing.bound = liveness_bound(blocks);
  return packing;
}

void place_arena(Program& program, MemorySpace space, Packing (*packer)(const std::vector<Block>&)) {
  std::vector<LiveRange> ranges(program.buffers.size());
  const auto touch = [&](const Instruction& i, int at) {
    for (const View& v : i.reads) ranges[index(v.buffer)].touch(at);
    for (const View& v : i.writes) ranges[index(v.buffer)].touch(at);
    if (i.scratch.buffer >= 0) ranges[index(i.scratch.buffer)].touch(at);
  };
  for (std::size_t n = 0; n < program.instructions.size(); ++n) {
    const Instruction& i = program.instructions[n];
    touch(i, static_cast<int>(n));
    if (i.kind == InstructionKind::wait) touch(program.instructions[index(i.waits[0])], static_cast<int>(n));
  }
  std::vector<Block> blocks;
  std::vector<std::size_t> buffer_of_block;
  for (std::size_t b = 0; b < program.buffers.size(); ++b) {
    if (program.buffers[b].kind != BufferKind::arena || ranges[b].first < 0) continue;
    blocks.push_back({program.buffers[b].bytes, ranges[b].first, ranges[b].last});
    buffer_of_block.push_back(b);
  }
  const Packing packing = packer(blocks);
  for (std::size_t i = 0; i < blocks.size(); ++i) program.buffers[buffer_of_block[i]].offset = packing.offsets[i];
  program.arena_bytes[static_cast<int>(space)] = packing.bytes;
  program.liveness_bound_bytes = packing.bound;
}

}  // namespace weft::lowering
