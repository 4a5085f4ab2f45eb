// argmax, argmin, cumsum, top_k: along one axis of a row-major operand.
#include <algorithm>
#include <numeric>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/reference_routine.hpp"
#include "kernels/cpu/scalar_ops.hpp"
#include "kernels/cpu/tile_ops.hpp"
#include "kernels/cpu/wide.hpp"
#include "weft/error.hpp"

namespace weft::cpu::reference {
namespace {

constexpr std::int64_t kColumns = 256;   ///< neighbouring lines that are walked together
constexpr std::int64_t kShortLine = 32;  ///< elements below which two passes over a line cost more than one
constexpr std::int64_t kFew = 16;        ///< values that top_k keeps sorted as it goes

/// The lines along one axis: `extent` elements each, `inner` apart.
struct Lines {
  std::int64_t outer = 1, extent = 1, inner = 1;

  Lines(const Shape& shape, int axis) : extent(shape[axis]) {
    for (int d = 0; d < axis; ++d) outer *= shape[d];
    for (int d = axis + 1; d < shape.rank(); ++d) inner *= shape[d];
  }
  std::int64_t count() const { return outer * inner; }
};

/// Calls f(first line, lines) for blocks of neighbouring lines that lie side by side.
template <class F>
void each_block(const Lines& lines, int threads, const F& f) {
  const std::int64_t blocks = (lines.inner + kColumns - 1) / kColumns;
  parallel_ranges(threads, lines.outer * blocks, 1, lines.count() * lines.extent,
                  [&](int, std::int64_t begin, std::int64_t end) {
                    for (std::int64_t i = begin; i < end; ++i) {
                      const std::int64_t column = i % blocks * kColumns;
                      f(i / blocks * lines.inner + column, std::min(kColumns, lines.inner - column));
                    }
                  });
}

int axis_of(const Problem& p) { return static_cast<int>(p.attributes.integer("axis")); }

/// NaN wins, for the smallest too; of equals the first, or the last.
class ArgExtreme final : public Routine {
 public:
  explicit ArgExtreme(const Problem& p)
      : lines_(p.operands[0].shape, axis_of(p)),
        type_(p.operands[0].dtype),
        largest_(p.op == Op::argmax),
        last_(p.attributes.integer("last") != 0),
        ops_(p.context.tiles.get()),
        threads_(p.context.threads) {}

  void run(const Buffers& buffers) const override {
    visit_dtype(type_, [&]<class T>(TypeTag<T>) {
      const T* x = reinterpret_cast<const T*>(buffers.operands[0]);
      auto* to = reinterpret_cast<std::int64_t*>(buffers.results[0]);
      if (lines_.inner == 1)
        parallel_ranges(threads_, lines_.outer, 8, lines_.outer * lines_.extent,
                        [&](int, std::int64_t begin, std::int64_t end) {
                          for (std::int64_t i = begin; i < end; ++i) to[i] = along_run(x + i * lines_.extent);
                        });
      else
        each_block(lines_, threads_, [&](std::int64_t line, std::int64_t count) {
          columns(x + line / lines_.inner * lines_.extent * lines_.inner + line % lines_.inner, count, to + line);
        });
    });
  }

 private:
  template <class C>
  bool better(C a, C b) const {
    if (a != a || b != b) return a != a && (last_ || b == b);
    return last_ ? (largest_ ? a >= b : a <= b) : (largest_ ? a > b : a < b);
  }

  template <class T>
  std::int64_t along_run(const T* x) const {
    if constexpr (std::is_same_v<T, float>) {
      if (lines_.extent < kShortLine) return one_pass(x);
      // The value first, in vectors; then where it is.
      const float best = largest_ ? ops_->max(x, lines_.extent) : ops_->min(x, lines_.extent);
      const auto found = [&](float v) { return best == best ? v == best : v != v; };
      if (!last_) return std::find_if(x, x + lines_.extent, found) - x;
      std::int64_t i = lines_.extent - 1;
      while (i > 0 && !found(x[i])) --i;
      return i;
    } else {
      return one_pass(x);
    }
  }

  template <class T>
  std::int64_t one_pass(const T* x) const {
    std::int64_t best = 0;
    auto held = convert<ComputeType<T>>(x[0]);
    for (std::int64_t i = 1; i < lines_.extent; ++i) {
      const auto v = convert<ComputeType<T>>(x[i]);
      if (better(v, held)) held = v, best = i;
    }
    return best;
  }

  template <class T>
  void columns(const T* x, std::int64_t count, std::int64_t* to) const {
    ComputeType<T> held[kColumns];
    for (std::int64_t c = 0; c < count; ++c) held[c] = convert<ComputeType<T>>(x[c]), to[c] = 0;
    for (std::int64_t i = 1; i < lines_.extent; ++i)
      for (std::int64_t c = 0; c < count; ++c) {
        const auto v = convert<ComputeType<T>>(x[i * lines_.inner + c]);
        if (better(v, held[c])) held[c] = v, to[c] = i;
      }
  }

  Lines lines_;
  DType type_;
  bool largest_, last_;
  const TileOps* ops_;
  int threads_;
};

class CumulativeSum final : public Routine {
 public:
  explicit CumulativeSum(const Problem& p)
      : lines_(p.operands[0].shape, axis_of(p)),
        type_(p.operands[0].dtype),
        exclusive_(p.attributes.integer("exclusive") != 0),
        reverse_(p.attributes.integer("reverse") != 0),
        threads_(p.context.threads) {}

  void run(const Buffers& buffers) const override {
    visit_dtype(type_, [&]<class T>(TypeTag<T>) {
      each_block(lines_, threads_, [&](std::int64_t line, std::int64_t count) {
        const std::int64_t at = line / lines_.inner * lines_.extent * lines_.inner + line % lines_.inner;
        columns(reinterpret_cast<const T*>(buffers.operands[0]) + at, count,
                reinterpret_cast<T*>(buffers.results[0]) + at);
      });
    });
  }

 private:
  template <class T>
  void columns(const T* x, std::int64_t count, T* to) const {
    Wide<T> sums[kColumns] = {};
    for (std::int64_t i = 0; i < lines_.extent; ++i) {
      const std::int64_t row = (reverse_ ? lines_.extent - 1 - i : i) * lines_.inner;
      for (std::int64_t c = 0; c < count; ++c) {
        const Wide<T> before = sums[c];
        sums[c] = wide_add(before, widen(x[row + c]));
        to[row + c] = narrow<T>(exclusive_ ? before : sums[c]);
      }
    }
  }

  Lines lines_;
  DType type_;
  bool exclusive_, reverse_;
  int threads_;
};

/// NaN is larger than all; of equals the first goes first.
class TopK final : public Routine {
 public:
  explicit TopK(const Problem& p)
      : lines_(p.operands[0].shape, axis_of(p)),
        type_(p.operands[0].dtype),
        k_(p.results[0].shape[axis_of(p)]),
        largest_(p.attributes.integer("largest") != 0),
        threads_(p.context.threads) {}

  std::int64_t scratch_bytes() const override { return k_ == 0 ? 0 : lines_.extent * threads_ * 8; }

  void run(const Buffers& buffers) const override {
    if (k_ == 0) return;
    visit_dtype(type_, [&]<class T>(TypeTag<T>) {
      parallel_ranges(threads_, lines_.count(), 1, lines_.count() * lines_.extent,
                      [&](int thread, std::int64_t begin, std::int64_t end) {
                        auto* order = reinterpret_cast<std::int64_t*>(buffers.scratch) + thread * lines_.extent;
                        for (std::int64_t line = begin; line < end; ++line)
                          line_of(reinterpret_cast<const T*>(buffers.operands[0]), line, order,
                                  reinterpret_cast<T*>(buffers.results[0]),
                                  reinterpret_cast<std::int64_t*>(buffers.results[1]));
                      });
    });
  }

 private:
  template <class C>
  bool before(C a, C b) const {
    if (a != a || b != b) return largest_ ? a != a && b == b : a == a;
    return largest_ ? a > b : a < b;
  }

  /// The order of the first k: kept sorted in one pass when they are few.
  template <class Value>
  void few(const Value& value, std::int64_t* order) const {
    std::int64_t held = 0;
    for (std::int64_t i = 0; i < lines_.extent; ++i) {
      const auto v = value(i);
      if (held == k_ && !before(v, value(order[k_ - 1]))) continue;
      std::int64_t at = held < k_ ? held++ : k_ - 1;
      for (; at > 0 && before(v, value(order[at - 1])); --at) order[at] = order[at - 1];
      order[at] = i;
    }
  }

  template <class T>
  void line_of(const T* x, std::int64_t line, std::int64_t* order, T* values, std::int64_t* indices) const {
    const std::int64_t outer = line / lines_.inner, column = line % lines_.inner;
    x += outer * lines_.extent * lines_.inner + column;
    const auto value = [&](std::int64_t i) { return convert<ComputeType<T>>(x[i * lines_.inner]); };
    if (k_ <= kFew) {
      few(value, order);
    } else {
      std::iota(order, order + lines_.extent, std::int64_t{0});
      std::partial_sort(order, order + k_, order + lines_.extent, [&](std::int64_t i, std::int64_t j) {
        const auto a = value(i), b = value(j);
        return before(a, b) || (!before(b, a) && i < j);
      });
    }
    const std::int64_t to = outer * k_ * lines_.inner + column;
    for (std::int64_t i = 0; i < k_; ++i) {
      if (values != nullptr) values[to + i * lines_.inner] = x[order[i] * lines_.inner];
      if (indices != nullptr) indices[to + i * lines_.inner] = order[i];
    }
  }

  Lines lines_;
  DType type_;
  std::int64_t k_;
  bool largest_;
  int threads_;
};

}  // namespace

std::unique_ptr<Routine> make_scan(const Problem& p) {
  switch (p.op) {
    case Op::argmax:
    case Op::argmin: return std::make_unique<ArgExtreme>(p);
    case Op::cumsum: return std::make_unique<CumulativeSum>(p);
    case Op::top_k: return std::make_unique<TopK>(p);
    default: return nullptr;
  }
}

}  // namespace weft::cpu::reference
