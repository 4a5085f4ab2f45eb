// The general kernel (f32 with contiguous channels goes to window_rows.hpp). The innermost work is a run: along the
// batch loop that is contiguous (channels of blocked and channels-last layouts), or else along the last windowed
// dimension. Threads take batch positions, whose results never overlap.
#include "kernels/cpu/loop_window.hpp"

#include <algorithm>
#include <limits>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/scalar_ops.hpp"
#include "kernels/cpu/tile_ops.hpp"
#include "kernels/cpu/window_plan.hpp"
#include "kernels/cpu/window_rows.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kRun = 256;  ///< elements of a run handled at once

template <class T>
T lowest() {
  if constexpr (std::is_floating_point_v<T>)
    return -std::numeric_limits<T>::infinity();
  else
    return std::numeric_limits<T>::lowest();
}

/// Integers wrap.
template <class T>
T plus(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  else
    return a + b;
}

/// A run of `count` elements at each of x and y.
struct Run {
  std::int64_t x, y, count, x_stride, y_stride;
};

template <class T>
class WindowKernel final : public CpuKernel {
  using C = ComputeType<T>;

 public:
  WindowKernel(WindowPlan plan, const Context& context)
      : plan_(std::move(plan)), ops_(context.tiles.get()), context_(context) {
    taps_ = 1;
    for (const WindowLoop& w : plan_.windows) taps_ *= w.window;
    along_window_ = plan_.run.extent == 1 && !plan_.windows.empty();
  }

  void run(std::span<std::byte* const> arguments) const override {
    const bool forward = plan_.op == Op::reduce_window_max || plan_.op == Op::reduce_window_sum;
    if (!forward) {
      std::byte* dx = arguments[arguments_before_result()];
      parallel_ranges(context_.threads, plan_.x_elements, 16384, plan_.x_elements,
                      [&](int, std::int64_t begin, std::int64_t end) {
                        std::fill(reinterpret_cast<T*>(dx) + begin, reinterpret_cast<T*>(dx) + end, T{});
                      });
    }
    // One position is all windows over one batch index and up to kRun elements of the run.
    const std::int64_t slices = along_window_ ? 1 : (plan_.run.extent + kRun - 1) / kRun;
    parallel_ranges(context_.threads, plan_.positions * slices, 1, plan_.x_elements,
                    [&](int, std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) position(arguments, i / slices, i % slices);
                    });
  }

 private:
  std::size_t arguments_before_result() const { return plan_.op == Op::reduce_window_max_grad ? 2 : 1; }

  void position(std::span<std::byte* const> arguments, std::int64_t batch, std::int64_t slice) const {
    std::int64_t x = 0, y = 0;
    for (auto b = plan_.batch.rbegin(); b != plan_.batch.rend(); ++b) {
      x += batch % b->extent * b->x_stride;
      y += batch % b->extent * b->y_stride;
      batch /= b->extent;
    }
    Run run{x, y, 1, plan_.run.x_stride, plan_.run.y_stride};
    if (!along_window_) {
      run.x += slice * kRun * run.x_stride;
      run.y += slice * kRun * run.y_stride;
      run.count = std::min(kRun, plan_.run.extent - slice * kRun);
    }
    // All output positions of the windowed dimensions, but those that the run covers.
    const std::size_t outer = plan_.windows.size() - (along_window_ ? 1 : 0);
    std::int64_t total = 1;
    for (std::size_t w = 0; w < outer; ++w) total *= plan_.windows[w].outputs;
    Dims at(plan_.windows.size(), 0);
    for (std::int64_t i = 0; i < total; ++i) {
      std::int64_t rest = i, offset = 0;
      for (std::size_t w = outer; w-- > 0;) {
        at[w] = rest % plan_.windows[w].outputs;
        rest /= plan_.windows[w].outputs;
        offset += at[w] * plan_.windows[w].y_stride;
      }
      Run here = run;
      here.y += offset;
      if (!along_window_) {
        window(arguments, at, here);
        continue;
      }
      const WindowLoop& last = plan_.windows.back();
      for (std::int64_t o = 0; o < last.outputs; o += kRun) {
        at.back() = o;
        Run piece = here;
        piece.y += o * last.y_stride;
        piece.y_stride = last.y_stride;
        piece.count = std::min(kRun, last.outputs - o);
        window(arguments, at, piece);
      }
    }
  }

  /// One run of windows: `at` is the output position of its first.
  void window(std::span<std::byte* const> arguments, const Dims& at, const Run& run) const {
    switch (plan_.op) {
      case Op::reduce_window_max: return forward(arguments, at, run, true);
      case Op::reduce_window_sum: return forward(arguments, at, run, false);
      case Op::reduce_window_max_grad: return max_grad(arguments, at, run);
      default: return sum_grad(arguments, at, run);
    }
  }

  /// Calls visit(tap, x offset, first, count, x stride) for each tap of the window that lies inside for elements
  /// [first, first + count) of the run.
  template <class Visit>
  void each_tap(const Dims& at, const Run& run, Visit visit) const {
    for (std::int64_t tap = 0; tap < taps_; ++tap) {
      std::int64_t rest = tap, x = run.x, first = 0, count = run.count, x_stride = run.x_stride;
      for (std::size_t w = plan_.windows.size(); w-- > 0;) {
        const WindowLoop& l = plan_.windows[w];
        const std::int64_t from = at[w] * l.stride - l.low + rest % l.window * l.dilation;
        rest /= l.window;
        if (along_window_ && w + 1 == plan_.windows.size()) {
          // Elements i with 0 <= from + i * stride < inputs.
          first = from >= 0 ? 0 : (-from + l.stride - 1) / l.stride;
          count = (from >= l.inputs ? 0 : std::min(run.count, (l.inputs - 1 - from) / l.stride + 1)) - first;
          x += (from + first * l.stride) * l.x_stride;
          x_stride = l.stride * l.x_stride;
        } else if (from < 0 || from >= l.inputs) {
          count = 0;
        } else {
          x += from * l.x_stride;
        }
      }
      if (count > 0) visit(tap, x, first, count, x_stride);
    }
  }

  void forward(std::span<std::byte* const> arguments, const Dims& at, const Run& run, bool max) const {
    const T* x = reinterpret_cast<const T*>(arguments[0]);
    T* y = reinterpret_cast<T*>(arguments[1]);
    C total[kRun];
    std::fill_n(total, run.count, max ? lowest<C>() : C{});
    each_tap(at, run,
             [&](std::int64_t, std::int64_t from, std::int64_t first, std::int64_t count, std::int64_t stride) {
               if constexpr (std::is_same_v<T, float>)
                 if (stride == 1) return (max ? ops_->max_run : ops_->add_run)(x + from, total + first, count);
               for (std::int64_t i = 0; i < count; ++i) {
                 const C v = convert<C>(x[from + i * stride]);
                 C& t = total[first + i];
                 if (max)
                   t = v > t || v != v ? v : t;
                 else
                   t = plus(t, v);
               }
             });
    for (std::int64_t i = 0; i < run.count; ++i) y[run.y + i * run.y_stride] = convert<T>(total[i]);
  }

  void max_grad(std::span<std::byte* const> arguments, const Dims& at, const Run& run) const {
    const T* x = reinterpret_cast<const T*>(arguments[0]);
    const T* dy = reinterpret_cast<const T*>(arguments[1]);
    T* dx = reinterpret_cast<T*>(arguments[2]);
    C best[kRun];
    std::int32_t where[kRun];
    std::fill_n(best, run.count, C{});
    std::fill_n(where, run.count, -1);
    each_tap(at, run,
             [&](std::int64_t tap, std::int64_t from, std::int64_t first, std::int64_t count, std::int64_t stride) {
               const auto id = static_cast<std::int32_t>(tap);
               if constexpr (std::is_same_v<T, float>)
                 if (stride == 1) return ops_->max_run_at(x + from, id, best + first, where + first, count);
               for (std::int64_t i = 0; i < count; ++i) {
                 const C v = convert<C>(x[from + i * stride]);
                 C& b = best[first + i];
                 if (where[first + i] < 0 || v > b || (v != v && b == b)) b = v, where[first + i] = id;
               }
             });
    each_tap(at, run,
             [&](std::int64_t tap, std::int64_t to, std::int64_t first, std::int64_t count, std::int64_t stride) {
               const auto id = static_cast<std::int32_t>(tap);
               if constexpr (std::is_same_v<T, float>)
                 if (stride == 1 && run.y_stride == 1)
                   return ops_->scatter_run(dy + run.y + first, where + first, id, dx + to, count);
               for (std::int64_t i = 0; i < count; ++i)
                 if (where[first + i] == id) {
                   T& d = dx[to + i * stride];
                   d = convert<T>(static_cast<C>(convert<C>(d) + convert<C>(dy[run.y + (first + i) * run.y_stride])));
                 }
             });
  }

  void sum_grad(std::span<std::byte* const> arguments, const Dims& at, const Run& run) const {
    const T* dy = reinterpret_cast<const T*>(arguments[0]);
    T* dx = reinterpret_cast<T*>(arguments[1]);
    each_tap(at, run, [&](std::int64_t, std::int64_t to, std::int64_t first, std::int64_t count, std::int64_t stride) {
      if constexpr (std::is_same_v<T, float>)
        if (stride == 1 && run.y_stride == 1) return ops_->add_run(dy + run.y + first, dx + to, count);
      for (std::int64_t i = 0; i < count; ++i) {
        T& d = dx[to + i * stride];
        d = convert<T>(static_cast<C>(convert<C>(d) + convert<C>(dy[run.y + (first + i) * run.y_stride])));
      }
    });
  }

  WindowPlan plan_;
  const TileOps* ops_;
  Context context_;
  std::int64_t taps_ = 1;
  bool along_window_ = false;
};

}  // namespace

Claim claim_window(const Graph& body, const Context&) {
  KernelSpec spec;
  spec.body = body;
  const WindowPlan plan = plan_window(spec.body);
  if (!plan.refusal.empty()) return Claim::refuse(plan.refusal);
  spec.implementation = "loop.window";
  spec.bytes = operand_bytes(spec.body);
  return Claim::take(std::move(spec));
}

std::unique_ptr<CpuKernel> compile_window(const KernelSpec& spec, const Context& context) {
  Graph body = spec.body;
  WindowPlan plan = plan_window(body);
  check_internal(plan.refusal.empty(), "window kernel compiled without a claim: " + plan.refusal);
  if (rows_take(plan)) return compile_window_rows(std::move(plan), context);
  return visit_dtype(plan.type, [&]<class T>(TypeTag<T>) -> std::unique_ptr<CpuKernel> {
    if constexpr (std::is_same_v<T, bool>)
      throw InternalError("window kernel of bool");
    else
      return std::make_unique<WindowKernel<T>>(std::move(plan), context);
  });
}

}  // namespace weft::cpu
