// Emission of depthwise kernels.
#include "kernels/loops/depthwise.hpp"

#include <algorithm>

#include "kernels/loops/build.hpp"
#include "kernels/loops/depthwise_values.hpp"

namespace weft::loops {
namespace {

using Statements = std::vector<Stmt>;

constexpr std::int64_t kEnoughTasks = 64;
constexpr std::int64_t kMostRingFloats = 1 << 16;  ///< of a thread, on its stack
constexpr std::int64_t kRowStep = 4;               ///< positions of the slide computed at once

void append(Statements& to, Statements from) { std::move(from.begin(), from.end(), std::back_inserter(to)); }

class DepthwiseEmitter {
 public:
  DepthwiseEmitter(const DepthwiseProblem& problem, const Graph& body, std::int64_t width, const RowsSchedule& schedule)
      : p_(problem), body_(body), width_(width), b_(kernel_), values_(b_, body, width), streaming_(schedule.streaming) {
    blocks_ = (p_.channels + width_ - 1) / width_;
    const std::int64_t groups = p_.rows.groups();
    const std::int64_t wanted = (kEnoughTasks + p_.samples * blocks_ - 1) / (p_.samples * blocks_);
    band_ = (groups + std::min(groups, wanted) - 1) / std::min(groups, wanted);
    bands_ = (groups + band_ - 1) / band_;
    ring_columns_ = p_.columns.steps * (p_.columns.groups() - 1) + p_.columns.span;
    // As many positions as the vectors of a target with many registers hold sums of.
    const bool many = schedule.register_bytes == 64;
    together_ = std::max<std::int64_t>(1, (many ? 4 : 2) / p_.columns.phases);
    ring_ = kernel_.add_buffer({DType::f32, -1, ring_floats()});
    partials_ = p_.filter_gradient != nullptr ? p_.taps() : 0;
    for (const DepthwiseSum& s : p_.sums) partials_ += s.node->op == Op::moments ? 2 : 1;
    if (partials_ > 0)
      scratch_ = kernel_.add_buffer({DType::f64, static_cast<int>(body.inputs().size() + body.outputs().size()), 0});
  }

  std::int64_t ring_floats() const { return p_.rows.span * ring_columns_ * width_; }

  RowsKernel run() {
    const std::int64_t whole = p_.channels / width_, rest = p_.channels % width_;
    if (whole > 0) add_phase(0, whole, width_);
    if (rest > 0) add_phase(whole, 1, rest);
    if (partials_ > 0) {
      if (whole > 0) add_join(0, whole, width_);
      if (rest > 0) add_join(whole, 1, rest);
    }
    RowsKernel result;
    result.refusal = values_.refusal();
    result.kernel = std::move(kernel_);
    result.scratch_bytes = partials_ * p_.samples * bands_ * p_.channels * 8;
    return result;
  }

 private:
  ExprId n(std::int64_t value) { return b_.integer(value); }
  std::int32_t variable(DType type) { return kernel_.add_local({type, true, 0}); }
  ExprId let(Statements& to, ExprId value) {
    const std::int32_t local = kernel_.add_local({b_.type(value), false, 0});
    to.push_back(declare(local, value));
    return b_.local(local);
  }

  // --- tasks --------------------------------------------------------------------------------------------------------

  /// `count` blocks of channels from `first` on, `lanes` channels each.
  void add_phase(std::int64_t first, std::int64_t count, std::int64_t lanes) {
    Phase phase;
    phase.index = kernel_.add_index();
    phase.extent = p_.samples * count * bands_;
    phase.work = p_.samples * count * lanes * p_.line_shape[2] * p_.line_shape[3] * p_.taps();
    const ExprId task = b_.index(phase.index), rest = b_.div(task, n(bands_));
    const ExprId band = b_.binary(Op::rem, task, n(bands_));
    sample_ = b_.div(rest, n(count));
    place_ = b_.add(b_.mul(sample_, n(bands_)), band);
    const std::int32_t lane = kernel_.add_index();
    values_.move_to(b_.add(b_.binary(Op::rem, rest, n(count)), n(first)), b_.index(lane));
    phase.body = {loop_of(LoopKind::vector, lane, n(lanes), task_body(band), static_cast<int>(width_))};
    kernel_.phases.push_back(std::move(phase));
  }

  Statements task_body(ExprId band) {
    Statements body;
    declare_sums(body);
    weights_.clear();
    if (p_.convolution != nullptr) {
      DepthwisePosition nowhere;
      const ExprId start = b_.mul(values_.channel(), n(p_.taps()));
      for (std::int64_t t = 0; t < p_.taps(); ++t)
        weights_.push_back(let(body, b_.load(values_.buffer(p_.filter), b_.add(start, n(t)))));
    }
    append(body, zero_margins());
    const DepthwiseAxis& rows = p_.rows;
    const ExprId first = b_.mul(band, n(band_));
    const std::int64_t fresh = std::min(rows.steps, rows.span), early = rows.span - fresh;
    const ExprId origin = b_.mul(first, n(rows.steps));  // of rows, counted from the first that a window may read
    if (early > 0) append(body, over_rows(early, [&](ExprId r) { return slide_row(b_.add(origin, r)); }));
    const std::int32_t group = kernel_.add_index();
    const ExprId q = b_.add(first, b_.index(group));
    Statements inside =
        over_rows(fresh, [&](ExprId r) { return slide_row(b_.add(b_.add(b_.mul(q, n(rows.steps)), n(early)), r)); });
    for (std::int64_t phase = 0; phase < rows.phases; ++phase) append(inside, line_row(q, phase));
    ExprId count = n(band_);
    if (rows.groups() % band_ != 0) count = b_.binary(Op::minimum, n(band_), b_.sub(n(rows.groups()), first));
    body.push_back(loop_of(LoopKind::serial, group, count, std::move(inside)));
    keep_sums(body);
    return body;
  }

  template <class Make>
  Statements over_rows(std::int64_t count, const Make& make) {
    const std::int32_t row = kernel_.add_index();
    return {loop_of(LoopKind::serial, row, n(count), make(b_.index(row)))};
  }

  // --- the ring -----------------------------------------------------------------------------------------------------

  ExprId ring_address(ExprId slot, ExprId column) {
    return b_.add(b_.add(b_.mul(slot, n(ring_columns_ * width_)), b_.mul(column, n(width_))), lane());
  }
  ExprId lane() { return values_.lane(); }

  /// Columns of the slide that the ring holds.
  std::int64_t first_column() const { return std::clamp<std::int64_t>(p_.columns.first, 0, p_.columns.slide); }
  std::int64_t last_column() const {
    return std::clamp<std::int64_t>(p_.columns.first + ring_columns_, first_column(), p_.columns.slide);
  }

  Stmt zeros(ExprId slot, std::int64_t from, std::int64_t to) {
    const std::int32_t column = kernel_.add_index();
    return loop_of(LoopKind::serial, column, n(to - from),
                   {store(ring_, ring_address(slot, b_.add(n(from), b_.index(column))), b_.real(0))});
  }

  Statements zero_margins() {
    const std::int64_t left = first_column() - p_.columns.first, right = last_column() - p_.columns.first;
    return over_rows(p_.rows.span, [&](ExprId slot) {
      Statements result;
      // Columns of which none is inside: the margin is all there is.
      if (first_column() == last_column()) return Statements{zeros(slot, 0, ring_columns_)};
      if (left > 0) result.push_back(zeros(slot, 0, left));
      if (right < ring_columns_) result.push_back(zeros(slot, right, ring_columns_));
      return result;
    });
  }

  /// Row `at`, counted from the first that a window may read, goes into the ring.
  Statements slide_row(ExprId at) {
    if (first_column() == last_column()) return {};
    const ExprId row = b_.add(at, n(p_.rows.first)), slot = b_.binary(Op::rem, at, n(p_.rows.span));
    const std::int64_t from = first_column(), count = last_column() - from, shift = p_.columns.first;
    const auto computed = [&](ExprId column) {
      DepthwisePosition here{sample_, row, column, p_.slide_shape, {}};
      return store(ring_, ring_address(slot, b_.sub(column, n(shift))), values_.value(p_.slide, here));
    };
    const auto run = [&](std::int64_t begin, std::int64_t steps, std::int64_t each) {
      const std::int32_t step = kernel_.add_index();
      Statements several;
      for (std::int64_t i = 0; i < each; ++i)
        several.push_back(computed(b_.add(b_.mul(b_.index(step), n(each)), n(begin + i))));
      return loop_of(LoopKind::serial, step, n(steps), std::move(several));
    };
    Statements body;
    if (count / kRowStep > 0) body.push_back(run(from, count / kRowStep, kRowStep));
    if (count % kRowStep > 0) body.push_back(run(from + count / kRowStep * kRowStep, count % kRowStep, 1));
    const std::int64_t last = p_.rows.first + p_.rows.steps * (p_.rows.groups() - 1) + p_.rows.span;
    if (p_.rows.first >= 0 && last <= p_.rows.slide) return body;
    // A loop of one turn, or none, is a condition.
    const ExprId inside =
        b_.binary(Op::logical_and, b_.binary(Op::greater_equal, row, n(0)), b_.binary(Op::less, row, n(p_.rows.slide)));
    const ExprId yes = b_.select(inside, n(1), n(0));
    return {loop_of(LoopKind::serial, kernel_.add_index(), yes, std::move(body)),
            loop_of(LoopKind::serial, kernel_.add_index(), b_.sub(n(1), yes),
                    {zeros(slot, from - shift, from - shift + count)})};
  }

  // --- positions of the line ----------------------------------------------------------------------------------------

  Statements line_row(ExprId q, std::int64_t phase) {
    const DepthwiseAxis &rows = p_.rows, &columns = p_.columns;
    const ExprId row = b_.add(b_.mul(q, n(rows.phases)), n(phase));
    Statements body, slots;
    ring_rows_.clear();
    for (const DepthwiseTap& t : rows.taps[static_cast<std::size_t>(phase)]) {
      const ExprId at = b_.add(b_.mul(q, n(rows.steps)), n(t.offset - rows.first));
      ring_rows_.push_back({t.tap, b_.binary(Op::rem, at, n(rows.span))});
    }
    const std::int64_t whole = columns.line / columns.phases, turns = whole / together_;
    if (turns > 0) {
      const std::int32_t turn = kernel_.add_index();
      body.push_back(loop_of(LoopKind::serial, turn, n(turns),
                             positions(row, b_.mul(b_.index(turn), n(together_)), together_ * columns.phases)));
    }
    if (const std::int64_t left = columns.line - turns * together_ * columns.phases; left > 0)
      append(body, positions(row, n(turns * together_), left));
    if (rows.line % rows.phases <= phase && rows.line % rows.phases != 0) {
      const ExprId inside = b_.select(b_.binary(Op::less, row, n(rows.line)), n(1), n(0));
      return {loop_of(LoopKind::serial, kernel_.add_index(), inside, std::move(body))};
    }
    return body;
  }

  /// `count` neighbours, from phase 0 of group `q` on.
  Statements positions(ExprId row, ExprId q, std::int64_t count) {
    const DepthwiseAxis& columns = p_.columns;
    Statements body;
    std::vector<DepthwisePosition> at;
    for (std::int64_t i = 0; i < count; ++i) {
      const auto phase = static_cast<std::size_t>(i % columns.phases);
      const ExprId group = b_.add(q, n(i / columns.phases));
      const ExprId column = b_.add(b_.mul(q, n(columns.phases)), n(i));
      at.push_back({sample_, row, column, p_.line_shape, {}});
      window(at.back(), group, columns.taps[phase], body);
    }
    append(body, finish(at));
    return body;
  }

  /// The taps of one position: its sum, and its share of the gradient to the filter.
  void window(DepthwisePosition& at, ExprId group, const std::vector<DepthwiseTap>& taps, Statements& body) {
    const DepthwiseAxis& columns = p_.columns;
    ExprId sum = b_.real(0), operand = -1;
    if (p_.filter_gradient != nullptr) operand = let(body, values_.value(p_.line_operand, at));
    for (const auto& [tap_row, slot] : ring_rows_)
      for (const DepthwiseTap& t : taps) {
        const ExprId column = b_.add(b_.mul(group, n(columns.steps)), n(t.offset - columns.first));
        const ExprId x = b_.load(ring_, ring_address(slot, column));
        const auto tap = static_cast<std::size_t>(tap_row * columns.window + t.tap);
        if (p_.convolution != nullptr) sum = b_.fma(x, weights_[tap], sum);
        if (operand >= 0) {
          const std::int32_t total = filter_sums_[tap];
          body.push_back(assign(total, b_.fma(x, operand, b_.local(total))));
        }
      }
    if (p_.convolution == nullptr) return;
    const ValueId result = p_.convolution->outputs[0];
    const DType type = body_.type(result).dtype;
    at.known.emplace(result, let(body, b_.round_to(sum, type)));
  }

  /// Results and sums of neighbours. All is read before anything is written.
  Statements finish(std::vector<DepthwisePosition>& at) {
    Statements body, stores;
    for (DepthwisePosition& here : at)
      for (const ValueId v : p_.results) {
        stores.push_back(store(values_.buffer(v), values_.address(v, here), let(body, values_.value(v, here))));
        stores.back().streaming = streaming_;
      }
    std::size_t sum = 0;
    for (const DepthwiseSum& s : p_.sums) {
      ExprId together = -1;
      for (DepthwisePosition& here : at) {
        const ExprId v = values_.value(s.of, here);
        if (s.node->op == Op::moments) {
          const ExprId x = let(body, b_.cast(v, DType::f64));
          const std::int32_t total = sums_[sum], squares = sums_[sum + 1];
          body.push_back(assign(total, b_.add(b_.local(total), x)));
          body.push_back(assign(squares, b_.fma(x, x, b_.local(squares))));
        } else {
          together = together < 0 ? v : b_.add(together, v);
        }
      }
      if (s.node->op != Op::moments)
        body.push_back(assign(sums_[sum], b_.add(b_.local(sums_[sum]), b_.cast(together, DType::f64))));
      sum += s.node->op == Op::moments ? 2 : 1;
    }
    append(body, std::move(stores));
    return body;
  }

  // --- sums ---------------------------------------------------------------------------------------------------------

  void declare_sums(Statements& body) {
    filter_sums_.clear();
    sums_.clear();
    const auto zero = [&](std::vector<std::int32_t>& to, DType type) {
      to.push_back(variable(type));
      body.push_back(declare(to.back(), b_.real(0, type)));
    };
    for (std::int64_t t = 0; p_.filter_gradient != nullptr && t < p_.taps(); ++t) zero(filter_sums_, DType::f32);
    for (const DepthwiseSum& s : p_.sums) {
      zero(sums_, DType::f64);
      if (s.node->op == Op::moments) zero(sums_, DType::f64);
    }
  }

  ExprId partial(std::size_t which, ExprId place) {
    const ExprId before = b_.add(n(static_cast<std::int64_t>(which) * p_.samples * bands_), place);
    return b_.add(b_.mul(before, n(p_.channels)), values_.channel());
  }

  void keep_sums(Statements& body) {
    std::size_t which = 0;
    for (const auto* list : {&filter_sums_, &sums_})
      for (const std::int32_t s : *list)
        body.push_back(store(scratch_, partial(which++, place_), b_.cast(b_.local(s), DType::f64)));
  }

  void add_join(std::int64_t first, std::int64_t count, std::int64_t lanes) {
    Phase phase;
    phase.index = kernel_.add_index();
    phase.extent = count;
    phase.work = p_.samples * bands_ * count * lanes * partials_;
    const std::int32_t lane = kernel_.add_index();
    values_.move_to(b_.add(b_.index(phase.index), n(first)), b_.index(lane));
    phase.body = {loop_of(LoopKind::vector, lane, n(lanes), joined(), static_cast<int>(width_))};
    kernel_.phases.push_back(std::move(phase));
  }

  Statements joined() {
    Statements body, adding;
    std::vector<std::int32_t> totals;
    const std::int32_t place = kernel_.add_index();
    for (std::int64_t i = 0; i < partials_; ++i) {
      totals.push_back(variable(DType::f64));
      body.push_back(declare(totals.back(), b_.real(0, DType::f64)));
      const ExprId more = b_.load(scratch_, partial(static_cast<std::size_t>(i), b_.index(place)));
      adding.push_back(assign(totals.back(), b_.add(b_.local(totals.back()), more)));
    }
    body.push_back(loop_of(LoopKind::serial, place, n(p_.samples * bands_), std::move(adding)));
    std::size_t next = 0;
    const auto total = [&] { return b_.local(totals[next++]); };
    const auto write = [&](ValueId v, ExprId element, ExprId value) {
      for (const GraphOutput& o : body_.outputs())
        if (o.value == v) return body.push_back(store(values_.buffer(v), element, b_.cast(value, DType::f32)));
    };
    for (std::int64_t t = 0; p_.filter_gradient != nullptr && t < p_.taps(); ++t)
      write(p_.filter_gradient->outputs[0], b_.add(b_.mul(values_.channel(), n(p_.taps())), n(t)), total());
    for (const DepthwiseSum& s : p_.sums) {
      if (s.node->op != Op::moments) {
        write(s.node->outputs[0], values_.channel(), total());
        continue;
      }
      // Squares of f32 numbers are exact in f64: a mean of 1e5 times the spread leaves the variance six digits.
      const std::int64_t count = p_.line_shape.elements() / p_.channels;
      const ExprId elements = b_.real(static_cast<double>(count), DType::f64);
      const ExprId mean = let(body, b_.div(total(), elements)), square = b_.div(total(), elements);
      write(s.node->outputs[0], values_.channel(), mean);
      write(s.node->outputs[1], values_.channel(),
            b_.binary(Op::maximum, b_.sub(square, b_.mul(mean, mean)), b_.real(0, DType::f64)));
    }
    return body;
  }

  const DepthwiseProblem& p_;
  const Graph& body_;
  std::int64_t width_;
  Kernel kernel_;
  Builder b_;
  DepthwiseValues values_;
  bool streaming_;
  std::int64_t blocks_ = 1, band_ = 1, bands_ = 1;  ///< of channels; of groups of rows
  std::int64_t ring_columns_ = 1, together_ = 1, partials_ = 0;
  std::int32_t ring_ = -1, scratch_ = -1;
  ExprId sample_ = -1, place_ = -1;  ///< of the task; where its partial sums go
  std::vector<ExprId> weights_;
  std::vector<std::pair<std::int64_t, ExprId>> ring_rows_;  ///< of the row at hand: tap, slot
  std::vector<std::int32_t> filter_sums_, sums_;
};

}  // namespace

RowsKernel make_depthwise(const Graph& body, const RowsSchedule& schedule) {
  RowsKernel result;
  result.body = body;
  std::int64_t width = 0;
  const DepthwiseProblem problem = read_depthwise(result.body);
  result.refusal = problem.refusal;
  if (result.refusal.empty()) result.refusal = choose_depthwise_layouts(result.body, width);
  if (!result.refusal.empty()) return result;
  DepthwiseEmitter emitter(problem, result.body, width, schedule);
  if (emitter.ring_floats() > kMostRingFloats) {
    result.refusal = "rows too long for a ring of them";
    return result;
  }
  RowsKernel made = emitter.run();
  made.body = std::move(result.body);
  const double products = (problem.convolution != nullptr ? 1 : 0) + (problem.filter_gradient != nullptr ? 1 : 0);
  made.flops = 2.0 * products * static_cast<double>(problem.taps()) *
               static_cast<double>(std::min(problem.line_shape.elements(), problem.slide_shape.elements()));
  return made;
}

}  // namespace weft::loops
