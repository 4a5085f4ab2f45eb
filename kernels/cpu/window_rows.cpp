// A piece of work is one batch position and up to kRun channels: its part of dx is zeroed just before it is added to,
// while it is in cache. Where the narrow side's channels are not contiguous, a row of it is gathered or scattered.
#include "kernels/cpu/window_rows.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/tile_ops.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kRun = 256;

class WindowRowsKernel final : public CpuKernel {
 public:
  WindowRowsKernel(WindowPlan plan, const Context& context) : plan_(std::move(plan)), context_(context) {
    const WindowLoop& last = plan_.windows.back();
    row_.inputs = last.inputs, row_.outputs = last.outputs, row_.window = last.window;
    row_.stride = last.stride, row_.low = last.low, row_.dilation = last.dilation;
    row_.x_stride = last.x_stride;
    strided_ = plan_.run.y_stride != 1;
    slices_ = (plan_.run.extent + kRun - 1) / kRun;
    std::int64_t taps = 1;
    for (std::size_t w = 0; w + 1 < plan_.windows.size(); ++w) taps *= plan_.windows[w].window;
    scratch_.resize(static_cast<std::size_t>(context.threads));
    for (Scratch& s : scratch_) {
      s.outer.resize(static_cast<std::size_t>(taps));
      if (strided_) s.row.resize(static_cast<std::size_t>(std::min(kRun, plan_.run.extent) * last.outputs));
    }
  }

  void run(std::span<std::byte* const> arguments) const override {
    const auto at = [&](std::size_t i) { return reinterpret_cast<float*>(arguments[i]); };
    Sides sides;
    switch (plan_.op) {
      case Op::reduce_window_max:
      case Op::reduce_window_sum: sides = {at(0), at(1), nullptr}; break;
      case Op::reduce_window_max_grad: sides = {at(0), at(1), at(2)}; break;
      default: sides = {nullptr, at(0), at(1)}; break;
    }
    parallel_ranges(context_.threads, plan_.positions * slices_, 1, plan_.x_elements,
                    [&](int thread, std::int64_t begin, std::int64_t end) {
                      Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
                      for (std::int64_t i = begin; i < end; ++i) position(sides, scratch, i / slices_, i % slices_);
                    });
  }

 private:
  struct Sides {
    const float* x;  ///< nullptr where it is not needed
    float* y;        ///< result, or dy
    float* dx;       ///< gradients only
  };
  struct Scratch {
    std::vector<std::int64_t> outer;
    std::vector<float> row;
  };

  void position(Sides sides, Scratch& scratch, std::int64_t batch, std::int64_t slice) const {
    std::int64_t x = slice * kRun, y = slice * kRun * plan_.run.y_stride;
    for (auto b = plan_.batch.rbegin(); b != plan_.batch.rend(); ++b) {
      x += batch % b->extent * b->x_stride;
      y += batch % b->extent * b->y_stride;
      batch /= b->extent;
    }
    if (sides.x != nullptr) sides.x += x;
    if (sides.dx != nullptr) sides.dx += x;
    sides.y += y;
    WindowRow row = row_;
    row.run = std::min(kRun, plan_.run.extent - slice * kRun);
    row.y_stride = strided_ ? row.run : plan_.windows.back().y_stride;
    row.outer = scratch.outer.data();
    const std::size_t outer = plan_.windows.size() - 1;
    if (sides.dx != nullptr) clear(sides.dx, row.run, 0);
    std::int64_t total = 1;
    for (std::size_t w = 0; w < outer; ++w) total *= plan_.windows[w].outputs;
    for (std::int64_t i = 0; i < total; ++i) {
      scratch.outer[0] = 0;
      row.outers = 1;
      std::int64_t rest = i, offset = 0, below = total;
      for (std::size_t w = 0; w < outer; ++w) {
        const WindowLoop& l = plan_.windows[w];
        below /= l.outputs;
        const std::int64_t o = rest / below;
        rest %= below;
        offset += o * l.y_stride;
        add_taps(l, o * l.stride - l.low, scratch.outer, row.outers);
      }
      one_row(sides, scratch, row, offset);
    }
  }

  /// Each offset so far becomes one for each tap that is inside; the list grows in place, from its end.
  static void add_taps(const WindowLoop& l, std::int64_t start, std::vector<std::int64_t>& outer, std::int64_t& count) {
    std::int64_t first = 0, last = l.window;
    while (first < last && start + first * l.dilation < 0) ++first;
    while (last > first && start + (last - 1) * l.dilation >= l.inputs) --last;
    const std::int64_t taps = last - first;
    for (std::int64_t t = count; t-- > 0;)
      for (std::int64_t k = taps; k-- > 0;)
        outer[static_cast<std::size_t>(t * taps + k)] =
            outer[static_cast<std::size_t>(t)] + (start + (first + k) * l.dilation) * l.x_stride;
    count *= taps;
  }

  void one_row(const Sides& sides, Scratch& scratch, const WindowRow& row, std::int64_t offset) const {
    const TileOps& ops = *context_.tiles;
    float* y = sides.y + offset;
    float* narrow = strided_ ? scratch.row.data() : y;
    if (sides.dx == nullptr) {
      (plan_.op == Op::reduce_window_max ? ops.max_row : ops.sum_row)(row, sides.x, narrow);
      if (strided_) exchange(row, y, narrow, false);
      return;
    }
    if (strided_) exchange(row, y, narrow, true);
    if (plan_.op == Op::reduce_window_max_grad)
      ops.max_row_grad(row, sides.x, narrow, sides.dx);
    else
      ops.sum_row_grad(row, narrow, sides.dx);
  }

  /// Between a row of the narrow side as it lies and one with contiguous runs.
  void exchange(const WindowRow& row, float* y, float* packed, bool pack) const {
    const std::int64_t step = plan_.windows.back().y_stride, channel = plan_.run.y_stride;
    for (std::int64_t i = 0; i < row.run; ++i)
      for (std::int64_t o = 0; o < row.outputs; ++o) {
        float &a = y[i * channel + o * step], &b = packed[o * row.run + i];
        if (pack)
          b = a;
        else
          a = b;
      }
  }

  /// Zeros over all inputs of the windowed dimensions from `w` on.
  void clear(float* dx, std::int64_t run, std::size_t w) const {
    if (w == plan_.windows.size()) {
      std::memset(dx, 0, static_cast<std::size_t>(run) * sizeof(float));
      return;
    }
    const WindowLoop& l = plan_.windows[w];
    if (w + 1 == plan_.windows.size() && l.x_stride == run) {
      std::memset(dx, 0, static_cast<std::size_t>(run * l.inputs) * sizeof(float));
      return;
    }
    for (std::int64_t i = 0; i < l.inputs; ++i) clear(dx + i * l.x_stride, run, w + 1);
  }

  WindowPlan plan_;
  Context context_;
  WindowRow row_;
  bool strided_ = false;  ///< the narrow side's channels are not contiguous
  std::int64_t slices_ = 1;
  mutable std::vector<Scratch> scratch_;  ///< by thread
};

}  // namespace

bool rows_take(const WindowPlan& plan) {
  return plan.type == DType::f32 && !plan.windows.empty() && plan.run.extent > 1 && plan.run.x_stride == 1;
}

std::unique_ptr<CpuKernel> compile_window_rows(WindowPlan plan, const Context& context) {
  return std::make_unique<WindowRowsKernel>(std::move(plan), context);
}

}  // namespace weft::cpu
