// scatter_add, scatter_nd, scatter_elements. Updates are sorted by the slot that they name, keeping their order; then
// every slot is made once, from what was there and its own updates in order. So threads share no slot, results repeat
// bit for bit at any thread count, and sums are rounded once.
#include <algorithm>
#include <cstring>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/reference_routine.hpp"
#include "kernels/cpu/reference_slots.hpp"
#include "kernels/cpu/tile_ops.hpp"
#include "kernels/cpu/wide.hpp"
#include "weft/error.hpp"

namespace weft::cpu::reference {
namespace {

constexpr std::int64_t kScatterRuns = 256;  ///< runs whose slots are found together
constexpr std::int64_t kSlotColumns = 512;  ///< elements of a slot that are accumulated together
constexpr std::int64_t kAhead = 4;          ///< updates fetched ahead of time
constexpr std::int64_t kPieces = 4;         ///< cuts of the slots, for each thread

enum class Join : std::uint8_t { replace, add, mul, max, min };

Join join_from(const std::string& kind) {
  if (kind == "replace") return Join::replace;
  if (kind == "add") return Join::add;
  if (kind == "mul") return Join::mul;
  return kind == "max" ? Join::max : Join::min;
}

template <class T>
void join_run(Join join, const T* update, std::int64_t count, const TileOps& ops, Wide<T>* sum) {
  switch (join) {
    case Join::add:
      if constexpr (std::is_same_v<T, float>) return ops.sum_rows(update, 1, count, sum);
      for (std::int64_t i = 0; i < count; ++i) sum[i] = wide_add(sum[i], widen(update[i]));
      break;
    case Join::mul:
      for (std::int64_t i = 0; i < count; ++i) sum[i] = wide_mul(sum[i], widen(update[i]));
      break;
    case Join::max:
      for (std::int64_t i = 0; i < count; ++i) sum[i] = wide_max(sum[i], widen(update[i]));
      break;
    case Join::min:
      for (std::int64_t i = 0; i < count; ++i) sum[i] = wide_min(sum[i], widen(update[i]));
      break;
    case Join::replace: break;
  }
}

/// Updates lie in any order, which the processor cannot foresee.
template <class T>
void prefetch(const T* update, std::int64_t count) {
  constexpr auto kLine = static_cast<std::int64_t>(64 / sizeof(T));
  for (std::int64_t i = 0; i < count; i += kLine) __builtin_prefetch(update + i);
}

/// Updates by slot: those of slot s are order[start(s)], …, order[start(s + 1) - 1].
struct Sorted {
  const std::int64_t* ends;
  const std::int64_t* order;
  std::int64_t start(std::int64_t slot) const { return slot == 0 ? 0 : ends[slot - 1]; }
};

class Scatter final : public Routine {
 public:
  /// `copies`: operand 0 is what was there before; otherwise zeros were.
  Scatter(Slots slots, Join join, bool copies, DType type, const Context& context)
      : slots_(std::move(slots)),
        join_(join),
        copies_(copies),
        type_(type),
        ops_(context.tiles.get()),
        threads_(context.threads) {}

  int operand_below() const override { return copies_ ? 0 : -1; }
  std::int64_t scratch_bytes() const override { return (slots_.slots() + slots_.runs()) * 8; }

  void run(const Buffers& buffers) const override {
    if (slots_.slots() == 0 || slots_.run() == 0) return;
    const std::byte* x = copies_ ? buffers.operands[0] : nullptr;
    const std::byte* indices = buffers.operands[copies_ ? 1 : 0];
    const std::byte* updates = buffers.operands[copies_ ? 2 : 1];
    const Sorted sorted = sort(indices, reinterpret_cast<std::int64_t*>(buffers.scratch));
    const std::int64_t pieces = threads_ == 1 ? 1 : threads_ * kPieces;
    const std::int64_t blocks = (slots_.run() + kSlotColumns - 1) / kSlotColumns;
    const std::int64_t work = (slots_.slots() + slots_.runs()) * slots_.run();
    parallel_ranges(threads_, pieces * blocks, 1, work, [&](int, std::int64_t begin, std::int64_t end) {
      for (std::int64_t item = begin; item < end; ++item) {
        const std::int64_t first = cut(sorted, item / blocks, pieces), last = cut(sorted, item / blocks + 1, pieces);
        const std::int64_t column = item % blocks * kSlotColumns;
        const std::int64_t columns = std::min(kSlotColumns, slots_.run() - column);
        fill(x, first, last, column, columns, buffers.results[0]);
        visit_dtype(type_, [&]<class T>(TypeTag<T>) {
          join_slots<T>(sorted, reinterpret_cast<const T*>(updates), first, last, column, columns,
                        reinterpret_cast<T*>(buffers.results[0]));
        });
      }
    });
  }

 private:
  /// By counting. `memory` holds a word for each slot, then one for each run.
  Sorted sort(const std::byte* indices, std::int64_t* memory) const {
    std::int64_t *ends = memory, *order = memory + slots_.slots();
    std::fill_n(ends, slots_.slots(), 0);
    each_run(indices, [&](std::int64_t, std::int64_t slot) { ++ends[slot]; });
    std::int64_t total = 0;
    for (std::int64_t s = 0; s < slots_.slots(); ++s) {
      const std::int64_t count = ends[s];
      ends[s] = total;  // where the slot's updates start: placing them moves it to their end
      total += count;
    }
    each_run(indices, [&](std::int64_t i, std::int64_t slot) { order[ends[slot]++] = i; });
    return {ends, order};
  }

  template <class Visit>
  void each_run(const std::byte* indices, Visit visit) const {
    std::int64_t slots[kScatterRuns];
    for (std::int64_t at = 0; at < slots_.runs(); at += kScatterRuns) {
      const std::int64_t count = std::min(kScatterRuns, slots_.runs() - at);
      slots_.find(indices, at, at + count, slots);
      for (std::int64_t i = 0; i < count; ++i)
        if (slots[i] >= 0) visit(at + i, slots[i]);
    }
  }

  /// Where piece `piece` begins: slots and updates are shared out together.
  std::int64_t cut(const Sorted& sorted, std::int64_t piece, std::int64_t pieces) const {
    if (piece == pieces) return slots_.slots();
    const std::int64_t all = slots_.slots() + sorted.start(slots_.slots());
    std::int64_t low = 0, high = slots_.slots();
    while (low < high) {
      const std::int64_t middle = (low + high) / 2;
      if (middle + sorted.start(middle) < all / pieces * piece)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  void fill(const std::byte* x, std::int64_t first, std::int64_t last, std::int64_t column, std::int64_t columns,
            std::byte* to) const {
    const std::size_t size = size_of(type_);
    const auto put = [&](std::int64_t at, std::int64_t count) {
      const std::size_t offset = static_cast<std::size_t>(at) * size, bytes = static_cast<std::size_t>(count) * size;
      if (x == to) return;  // in place
      if (x != nullptr)
        std::memcpy(to + offset, x + offset, bytes);
      else
        std::memset(to + offset, 0, bytes);
    };
    if (columns == slots_.run()) return put(first * columns, (last - first) * columns);
    for (std::int64_t s = first; s < last; ++s) put(s * slots_.run() + column, columns);
  }

  template <class T>
  void join_slots(const Sorted& sorted, const T* updates, std::int64_t first, std::int64_t last, std::int64_t column,
                  std::int64_t columns, T* to) const {
    Wide<T> sum[kSlotColumns];
    const std::int64_t all = sorted.start(slots_.slots());
    for (std::int64_t s = first; s < last; ++s) {
      const std::int64_t begin = sorted.start(s), end = sorted.ends[s];
      if (begin == end) continue;
      const auto update = [&](std::int64_t i) { return updates + sorted.order[i] * slots_.run() + column; };
      T* slot = to + s * slots_.run() + column;
      if (join_ == Join::replace) {
        std::copy_n(update(end - 1), columns, slot);
        continue;
      }
      if (join_ == Join::add && end - begin == 1) {
        const T* only = update(begin);
        if (begin + kAhead < all) prefetch(update(begin + kAhead), columns);
        for (std::int64_t c = 0; c < columns; ++c) slot[c] = narrow<T>(wide_add(widen(slot[c]), widen(only[c])));
        continue;
      }
      for (std::int64_t c = 0; c < columns; ++c) sum[c] = widen(slot[c]);
      for (std::int64_t i = begin; i < end; ++i) {
        if (i + kAhead < all) prefetch(update(i + kAhead), columns);
        join_run(join_, update(i), columns, *ops_, sum);
      }
      for (std::int64_t c = 0; c < columns; ++c) slot[c] = narrow<T>(sum[c]);
    }
  }

  Slots slots_;
  Join join_;
  bool copies_;
  DType type_;
  const TileOps* ops_;
  int threads_;
};

}  // namespace

std::unique_ptr<Routine> make_scatter(const Problem& p) {
  const TensorType& result = p.results[0];
  const auto axis = [&] { return static_cast<int>(p.attributes.integer("axis")); };
  const auto make = [&](Slots slots, Join join, bool copies) {
    return std::make_unique<Scatter>(std::move(slots), join, copies, result.dtype, p.context);
  };
  switch (p.op) {
    case Op::scatter_add: return make(Slots::along_axis(result.shape, axis(), p.operands[0]), Join::add, false);
    case Op::scatter_nd:
      return make(Slots::by_tuples(result.shape, 0, p.operands[1]), join_from(p.attributes.text("kind")), true);
    case Op::scatter_elements:
      return make(Slots::by_elements(result.shape, axis(), p.operands[1]), join_from(p.attributes.text("kind")), true);
    default: return nullptr;
  }
}

}  // namespace weft::cpu::reference
