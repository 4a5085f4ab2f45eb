// Emission of windowed kernels.
#include "kernels/loops/windows.hpp"

#include <algorithm>
#include <limits>

#include "kernels/loops/build.hpp"
#include "kernels/loops/window_plan.hpp"

namespace weft::loops {
namespace {

using Statements = std::vector<Stmt>;

constexpr std::int64_t kEnoughPositions = 64;  ///< of parallel work; below, the run is cut
constexpr std::int64_t kUnrolledTaps = 16;     ///< of one dimension
constexpr int kMostRegisters = 4;              ///< of lanes
constexpr std::int64_t kMostSums = 1 << 18;    ///< f32 sums of a thread, on its stack

std::int64_t lowest(DType t) {
  const bool is_unsigned = t == DType::u8 || t == DType::u16 || t == DType::u32 || t == DType::u64;
  return is_unsigned ? 0 : std::numeric_limits<std::int64_t>::min() >> (64 - 8 * static_cast<int>(size_of(t)));
}

bool is_narrow(DType t) { return t == DType::f16 || t == DType::bf16; }

/// Whether a gradient adds up elements that it cannot hold while it does: they are summed beside, and rounded once.
bool sums_apart(const WindowPlan& plan) { return !plan.forward() && !plan.tiles() && is_narrow(plan.type); }

/// Where the taps of one windowed dimension are, for the output at hand.
struct Taps {
  ExprId start = -1;   ///< input index of tap 0; may be outside
  ExprId first = -1;   ///< the first tap inside
  ExprId count = -1;   ///< of taps inside
  bool whole = false;  ///< all are inside: first is 0 and count the window
};

class WindowEmitter {
 public:
  WindowEmitter(const WindowPlan& plan, const Graph& body, const RowsSchedule& schedule)
      : plan_(plan), b_(kernel_), value_type_(held(plan.type)) {
    const bool grad = !plan.forward();
    const int inputs = static_cast<int>(body.inputs().size());
    const auto argument = [&](ValueId v) {
      for (int i = 0; i < inputs; ++i)
        if (body.inputs()[static_cast<std::size_t>(i)].value == v) return i;
      return inputs;
    };
    if (!grad || plan.max()) x_ = kernel_.add_buffer({plan.type, argument(plan.x), 0});
    y_ = kernel_.add_buffer({plan.type, argument(plan.y), 0});
    if (grad) dx_ = kernel_.add_buffer({plan.type, inputs, 0});
    along_outputs_ = plan.run.extent == 1 && !plan.windows.empty();
    choose_lanes(schedule);
    if (sums_apart(plan)) {
      in_scratch_ = sums() > kMostSums;
      sums_ = kernel_.add_buffer({value_type_, in_scratch_ ? inputs + 1 : -1, in_scratch_ ? 0 : sums()});
    }
    parallel_ = kernel_.add_index();
    lane_ = kernel_.add_index();
    for (std::size_t w = 0; w < plan.windows.size(); ++w) {
      output_.push_back(kernel_.add_index());
      tap_.push_back(kernel_.add_index());
    }
  }

  void run() {
    Phase phase;
    phase.index = parallel_;
    ExprId rest = b_.index(parallel_);
    const auto digit = [&](std::int64_t extent) {
      const ExprId d = b_.binary(Op::rem, rest, b_.integer(extent));
      rest = b_.div(rest, b_.integer(extent));
      return extent == 1 ? b_.integer(0) : d;
    };
    std::int64_t extent = 1;
    const auto take = [&](std::int64_t n) {
      extent *= n;
      return digit(n);
    };
    // Rows of outputs are shared too where they write nothing in common.
    const bool share_rows = plan_.forward() && plan_.windows.size() > (along_outputs_ ? 1u : 0u);
    at_.assign(plan_.windows.size(), -1);
    if (share_rows) {
      at_[0] = take(plan_.windows[0].outputs);
      taps_.push_back(taps_at(0, at_[0], false));
    }
    const ExprId block = take(plan_.run.extent / width_);
    x_base_ = b_.mul(block, b_.integer(width_ * plan_.run.x_stride));
    y_base_ = b_.mul(block, b_.integer(width_ * plan_.run.y_stride));
    for (std::size_t l = plan_.batch.size(); l-- > 0;) {
      const ExprId i = take(plan_.batch[l].extent);
      x_base_ = b_.add(x_base_, b_.mul(i, b_.integer(plan_.batch[l].x_stride)));
      y_base_ = b_.add(y_base_, b_.mul(i, b_.integer(plan_.batch[l].y_stride)));
    }
    phase.extent = extent;
    phase.work = work();
    if (!plan_.forward() && !plan_.tiles()) phase.body = cleared();
    for (Stmt& s : over_outputs(share_rows ? 1 : 0)) phase.body.push_back(std::move(s));
    if (sums_ >= 0)
      for (Stmt& s : over_inputs([&] { return store(dx_, wide_address(dx_), b_.load(sums_, wide_address(sums_))); }))
        phase.body.push_back(std::move(s));
    kernel_.phases.push_back(std::move(phase));
  }

  Kernel take() && { return std::move(kernel_); }

  std::int64_t scratch_bytes() const {
    return in_scratch_ ? kernel_.phases[0].extent * sums() * static_cast<std::int64_t>(size_of(value_type_)) : 0;
  }

 private:
  static DType held(DType t) { return is_narrow(t) ? DType::f32 : t; }

  /// Elements of one position of the wide side, of as much of the run as one parallel index has.
  std::int64_t sums() const {
    std::int64_t n = width_;
    for (const WindowLoop& w : plan_.windows) n *= w.inputs;
    return n;
  }

  void choose_lanes(const RowsSchedule& schedule) {
    const int natural = schedule.register_bytes / (size_of(plan_.type) == 8 ? 8 : 4);
    lanes_ = natural;
    width_ = std::max<std::int64_t>(plan_.run.extent, 1);  // of nothing too, which no iteration walks
    if (along_outputs_) return;
    for (int n = sums_apart(plan_) ? 1 : kMostRegisters; n >= 1; n /= 2)
      if (plan_.run.extent % (n * natural) == 0) {
        lanes_ = n * natural;
        break;
      }
    if ((sums_apart(plan_) || plan_.positions() < kEnoughPositions) && plan_.run.extent % lanes_ == 0) width_ = lanes_;
  }

  std::int64_t work() const {
    std::int64_t outputs = plan_.positions() * plan_.run.extent, inputs = outputs;
    for (const WindowLoop& w : plan_.windows) outputs *= w.outputs, inputs *= w.inputs;
    return std::max(outputs * plan_.taps(), inputs);
  }

  // --- addresses ----------------------------------------------------------------------------------------------------

  /// The lane's part of an address in a run; along outputs the index of the output has it.
  ExprId lane_offset(std::int64_t stride) {
    return along_outputs_ ? b_.integer(0) : b_.mul(b_.index(lane_), b_.integer(stride));
  }

  ExprId y_address() {
    ExprId e = b_.add(y_base_, lane_offset(plan_.run.y_stride));
    for (std::size_t w = 0; w < at_.size(); ++w) e = b_.add(e, b_.mul(at_[w], b_.integer(plan_.windows[w].y_stride)));
    return e;
  }

  /// Of the wide side's element at `input(w)` in each windowed dimension; in its tensor, or in the thread's sums.
  template <class Input>
  ExprId wide_address(std::int32_t buffer, const Input& input) {
    const bool apart = buffer == sums_ && sums_ >= 0;
    ExprId e = !apart        ? b_.add(x_base_, lane_offset(plan_.run.x_stride))
               : in_scratch_ ? b_.add(b_.mul(b_.index(parallel_), b_.integer(sums())), lane_offset(1))
                             : lane_offset(1);
    std::int64_t stride = width_;
    for (std::size_t w = plan_.windows.size(); w-- > 0; stride *= plan_.windows[w].inputs)
      e = b_.add(e, b_.mul(input(w), b_.integer(apart ? stride : plan_.windows[w].x_stride)));
    return e;
  }
  ExprId wide_address(std::int32_t buffer) {
    return wide_address(buffer, [&](std::size_t w) { return b_.index(output_[w]); });
  }

  /// Of the tap at which the loops stand.
  ExprId tap_address(std::int32_t buffer) {
    return wide_address(buffer, [&](std::size_t w) {
      const ExprId tap = b_.add(taps_[w].first, b_.index(tap_[w]));
      return b_.add(taps_[w].start, b_.mul(tap, b_.integer(plan_.windows[w].dilation)));
    });
  }

  /// The tap's number within the whole window, in row-major order.
  ExprId tap_number(bool of_first) {
    ExprId e = b_.integer(0);
    for (std::size_t w = 0; w < taps_.size(); ++w) {
      const ExprId tap = of_first ? taps_[w].first : b_.add(taps_[w].first, b_.index(tap_[w]));
      e = b_.add(b_.mul(e, b_.integer(plan_.windows[w].window)), tap);
    }
    return b_.cast(e, DType::i32);
  }

  // --- loops --------------------------------------------------------------------------------------------------------

  /// Loops over one position of the wide side.
  template <class Make>
  Statements over_inputs(const Make& statement) {
    Statements body{statement()};
    const std::size_t outer = plan_.windows.size() - (along_outputs_ ? 1 : 0);
    if (along_outputs_)
      body = {
          loop_of(LoopKind::vector, output_.back(), b_.integer(plan_.windows.back().inputs), std::move(body), lanes_)};
    else
      body = {loop_of(LoopKind::vector, lane_, b_.integer(width_), std::move(body), lanes_)};
    for (std::size_t w = outer; w-- > 0;)
      body = {loop_of(LoopKind::serial, output_[w], b_.integer(plan_.windows[w].inputs), std::move(body))};
    return body;
  }

  Statements cleared() {
    const std::int32_t to = sums_ >= 0 ? sums_ : dx_;
    return over_inputs([&] { return store(to, wide_address(to), b_.integer(0, value_type_)); });
  }

  /// Taps of windowed dimension `w` at output `at`.
  Taps taps_at(std::size_t w, ExprId at, bool inside) {
    const WindowLoop& l = plan_.windows[w];
    Taps t;
    t.start = b_.sub(b_.mul(at, b_.integer(l.stride)), b_.integer(l.low));
    t.whole = inside || (l.interior().first == 0 && l.interior().second == l.outputs);
    if (t.whole) {
      t.first = b_.integer(0);
      t.count = b_.integer(l.window);
      return t;
    }
    const ExprId zero = b_.integer(0), up = b_.integer(l.dilation - 1), step = b_.integer(l.dilation);
    const auto taps_in = [&](ExprId inputs) {  // that start before so many inputs have passed
      return b_.div(b_.add(b_.binary(Op::maximum, inputs, zero), up), step);
    };
    t.first = taps_in(b_.sub(zero, t.start));
    const ExprId last = b_.binary(Op::minimum, b_.integer(l.window), taps_in(b_.sub(b_.integer(l.inputs), t.start)));
    t.count = b_.binary(Op::maximum, b_.sub(last, t.first), zero);
    return t;
  }

  /// The outputs from dimension `w` on; `at_` holds where those before stand.
  Statements over_outputs(std::size_t w) {
    if (w == plan_.windows.size()) {
      if (along_outputs_) return one_window();
      return {loop_of(LoopKind::vector, lane_, b_.integer(width_), one_window(), lanes_)};
    }
    const WindowLoop& l = plan_.windows[w];
    if (w + 1 < plan_.windows.size()) return outputs_from(w, 0, l.outputs, false, false);
    const auto [first, last] = l.interior();
    Statements result = outputs_from(w, 0, first, false, false);
    for (Stmt& s : outputs_from(w, first, last, true, along_outputs_)) result.push_back(std::move(s));
    for (Stmt& s : outputs_from(w, last, l.outputs, false, false)) result.push_back(std::move(s));
    return result;
  }

  Statements outputs_from(std::size_t w, std::int64_t first, std::int64_t last, bool inside, bool vector) {
    if (first >= last) return {};
    at_[w] = b_.add(b_.integer(first), b_.index(output_[w]));
    taps_.resize(w);
    taps_.push_back(taps_at(w, at_[w], inside));
    Statements body = over_outputs(w + 1);
    taps_.resize(w);
    return {loop_of(vector ? LoopKind::vector : LoopKind::serial, output_[w], b_.integer(last - first), std::move(body),
                    vector ? lanes_ : 1)};
  }

  Statements over_taps(Statements body) {
    for (std::size_t w = taps_.size(); w-- > 0;) {
      const bool unrolled = taps_[w].whole && plan_.windows[w].window <= kUnrolledTaps;
      body = {loop_of(unrolled ? LoopKind::unroll : LoopKind::serial, tap_[w], taps_[w].count, std::move(body))};
    }
    return body;
  }

  // --- one window ---------------------------------------------------------------------------------------------------

  Statements one_window() {
    switch (plan_.op) {
      case Op::reduce_window_max:
      case Op::reduce_window_sum: return reduced();
      case Op::reduce_window_max_grad: return max_gradient();
      default: return scattered(b_.load(y_, y_address()));
    }
  }

  ExprId initial() {
    if (!plan_.max()) return b_.integer(0, value_type_);
    return is_float(value_type_) ? b_.real(-std::numeric_limits<double>::infinity(), value_type_)
                                 : b_.integer(lowest(value_type_), value_type_);
  }

  Statements reduced() {
    const std::int32_t total = kernel_.add_local({value_type_, true, 0});
    Statements body{declare(total, initial())};
    const ExprId joined = b_.binary(plan_.max() ? Op::maximum : Op::add, b_.local(total), b_.load(x_, tap_address(x_)));
    for (Stmt& s : over_taps({assign(total, joined)})) body.push_back(std::move(s));
    body.push_back(store(y_, y_address(), b_.local(total)));
    return body;
  }

  /// The first of the largest elements of the window gets the gradient; NaN is larger than any number.
  Statements max_gradient() {
    const std::int32_t best = kernel_.add_local({value_type_, true, 0}),
                       where = kernel_.add_local({DType::i32, true, 0});
    const std::int32_t better = kernel_.add_local({DType::boolean, false, 0});
    const std::int32_t value = kernel_.add_local({value_type_, false, 0});
    Statements body{declare(best, initial()), declare(where, tap_number(true))};
    const ExprId v = b_.local(value), held = b_.local(best);
    ExprId wins = b_.binary(Op::greater, v, held);
    if (is_float(value_type_))
      wins = b_.binary(Op::logical_or, wins,
                       b_.binary(Op::logical_and, b_.binary(Op::not_equal, v, v), b_.binary(Op::equal, held, held)));
    for (Stmt& s : over_taps({declare(value, b_.load(x_, tap_address(x_))), declare(better, wins),
                              assign(where, b_.select(b_.local(better), tap_number(false), b_.local(where))),
                              assign(best, b_.select(b_.local(better), v, held))}))
      body.push_back(std::move(s));
    const ExprId here = b_.binary(Op::equal, b_.local(where), tap_number(false));
    const ExprId share = b_.select(here, b_.load(y_, y_address()), b_.integer(0, value_type_));
    for (Stmt& s : scattered(share)) body.push_back(std::move(s));
    return body;
  }

  /// Adds `share` to the wide side at every tap.
  Statements scattered(ExprId share) {
    const std::int32_t to = sums_ >= 0 ? sums_ : dx_;
    const ExprId at = tap_address(to);
    // Where windows tile, nothing is added up.
    return over_taps({store(to, at, plan_.tiles() ? share : b_.add(b_.load(to, at), share))});
  }

  const WindowPlan& plan_;
  Kernel kernel_;
  Builder b_;
  DType value_type_;
  std::int32_t x_ = -1, y_ = -1, dx_ = -1, sums_ = -1;
  bool along_outputs_ = false;
  bool in_scratch_ = false;  ///< the sums, which are many
  int lanes_ = 1;
  std::int64_t width_ = 1;  ///< of the run, in one parallel index
  std::int32_t parallel_ = -1, lane_ = -1;
  std::vector<std::int32_t> output_, tap_;
  ExprId x_base_ = -1, y_base_ = -1;  ///< of the position
  std::vector<ExprId> at_;            ///< outputs, by windowed dimension
  std::vector<Taps> taps_;
};

}  // namespace

bool is_windowed_body(const Graph& body) {
  if (body.nodes().size() != 1) return false;
  const Op op = body.nodes()[0].op;
  return op == Op::reduce_window_max || op == Op::reduce_window_sum || op == Op::reduce_window_max_grad ||
         op == Op::reduce_window_sum_grad;
}

RowsKernel make_windows(const Graph& body, const RowsSchedule& schedule) {
  RowsKernel result;
  result.body = body;
  const WindowPlan plan = plan_window(result.body);
  result.refusal = plan.refusal;
  if (!result.refusal.empty()) return result;
  WindowEmitter emitter(plan, result.body, schedule);
  emitter.run();
  result.scratch_bytes = emitter.scratch_bytes();
  result.kernel = std::move(emitter).take();
  // A window is read before any of its elements is written, and shares none with another.
  result.overwrites_operands = plan.op == Op::reduce_window_max_grad && plan.tiles();
  return result;
}

}  // namespace weft::loops
