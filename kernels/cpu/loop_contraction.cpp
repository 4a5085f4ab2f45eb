// Blocks of the result are dealt to the threads; each packs the panels of its operands, converted to the type that it
// computes in (f32 for 16-bit floats, an unsigned word for integers), and runs the register block over them. Sums are
// in one fixed order.
#include "kernels/cpu/loop_contraction.hpp"

#include <algorithm>

#include "kernels/cpu/contraction_ops.hpp"
#include "kernels/cpu/contraction_plan.hpp"
#include "kernels/cpu/loop_copy.hpp"
#include "kernels/cpu/parallel.hpp"
#include "kernels/cpu/scalar_ops.hpp"
#include "weft/error.hpp"

namespace weft::cpu {
namespace {

constexpr std::int64_t kDepth = 256;                        ///< k of one packed panel
constexpr std::int64_t kMostRows = 96, kMostColumns = 128;  ///< of one block of the result

template <class T>
auto word_of() {
  if constexpr (std::is_same_v<T, double> || std::is_same_v<T, float>)
    return T{};
  else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
    return float{};
  else if constexpr (sizeof(T) == 8)
    return std::uint64_t{};
  else
    return std::uint32_t{};
}
/// The type that products of `T` are summed in.
template <class T>
using Word = decltype(word_of<T>());

template <class W>
const ContractionBlock<W>& block_in(const ContractionOps& ops) {
  if constexpr (std::is_same_v<W, float>) return ops.f32;
  if constexpr (std::is_same_v<W, double>) return ops.f64;
  if constexpr (std::is_same_v<W, std::uint32_t>) return ops.u32;
  if constexpr (std::is_same_v<W, std::uint64_t>) return ops.u64;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Of operands stored as T and a result as R.
template <class T, class R>
class ContractionKernel final : public CpuKernel {
 public:
  ContractionKernel(ContractionPlan plan, const Graph& body, const KernelSpec& spec, const Context& context)
      : plan_(std::move(plan)), block_(block_in<W>(contraction_ops(context.isa))), threads_(context.threads) {
    arguments_ = body.inputs().size() + body.outputs().size();
    for (std::size_t i = 0; i < body.inputs().size(); ++i) {
      if (body.inputs()[i].value == plan_.a.value) a_ = i;
      if (body.inputs()[i].value == plan_.b.value) b_ = i;
    }
    if (!plan_.prepare.nodes().empty()) {
      KernelSpec movement;
      movement.body = plan_.prepare;
      prepare_ = compile_copy(movement, context);
      check_internal(spec.scratch_bytes > 0, "contraction compiled without its scratch");
    }
    choose_blocks();
    const std::int64_t depth = std::min(kDepth, plan_.k());
    for (int t = 0; t < threads_; ++t) {
      Scratch s;
      s.a.resize(static_cast<std::size_t>(rows_ * depth));
      s.b.resize(static_cast<std::size_t>(columns_ * depth));
      s.c.resize(static_cast<std::size_t>(rows_ * columns_));
      scratch_.push_back(std::move(s));
    }
  }

  void run(std::span<std::byte* const> arguments) const override {
    const std::byte* a = arguments[a_];
    if (prepare_) {
      std::byte* const movement[] = {arguments[a_], arguments[arguments_]};
      prepare_->run(movement);
      a = arguments[arguments_];
    }
    const Operands operands{reinterpret_cast<const T*>(a), reinterpret_cast<const T*>(arguments[b_]),
                            reinterpret_cast<R*>(arguments[arguments_ - 1])};
    const std::int64_t down = ceil_div(plan_.m(), rows_), across = ceil_div(plan_.n(), columns_);
    const std::int64_t work = plan_.batches() * plan_.m() * plan_.n() * std::max<std::int64_t>(plan_.k() / 8, 1);
    parallel_ranges(threads_, plan_.batches() * down * across, 1, work,
                    [&](int thread, std::int64_t begin, std::int64_t end) {
                      Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
                      for (std::int64_t i = begin; i < end; ++i)
                        block(operands, scratch, i / (down * across), i / across % down * rows_, i % across * columns_);
                    });
  }

 private:
  using W = Word<T>;
  struct Operands {
    const T *a, *b;
    R* c;
  };
  struct Scratch {
    std::vector<W> a, b, c;
  };

  /// Large blocks reuse packed panels more; small enough ones keep every thread busy.
  void choose_blocks() {
    const auto fit = [](std::int64_t most, std::int64_t extent, std::int64_t unit) {
      return std::max<std::int64_t>(std::min(ceil_div(extent, unit), most / unit), 1) * unit;
    };
    rows_ = fit(kMostRows, plan_.m(), block_.rows);
    columns_ = fit(kMostColumns, plan_.n(), block_.columns);
    const auto blocks = [&] { return plan_.batches() * ceil_div(plan_.m(), rows_) * ceil_div(plan_.n(), columns_); };
    while (blocks() < 3 * threads_ && (rows_ > block_.rows || columns_ > block_.columns)) {
      if (rows_ / block_.rows >= columns_ / block_.columns)
        rows_ = ceil_div(rows_ / block_.rows, 2) * block_.rows;
      else
        columns_ = ceil_div(columns_ / block_.columns, 2) * block_.columns;
    }
  }

  static W load(T value) {
    if constexpr (std::is_same_v<T, W>)
      return value;
    else
      return static_cast<W>(value);
  }
  static R store(W value) {
    if constexpr (std::is_same_v<R, Half> || std::is_same_v<R, BFloat16>)
      return R(value);
    else
      return static_cast<R>(value);
  }

  /// Strips of `unit` lanes, [depth][unit] each; lanes beyond `count` hold zeros.
  static void pack(const T* from, const std::int64_t* lanes, std::int64_t count, const std::int64_t* depth,
                   std::int64_t depths, std::int64_t unit, W* to) {
    for (std::int64_t first = 0; first < count; first += unit) {
      const std::int64_t width = std::min(unit, count - first);
      for (std::int64_t p = 0; p < depths; ++p, to += unit) {
        const T* row = from + depth[p];
        for (std::int64_t i = 0; i < width; ++i) to[i] = load(row[lanes[first + i]]);
        for (std::int64_t i = width; i < unit; ++i) to[i] = W{};
      }
    }
  }

  void block(const Operands& operands, Scratch& scratch, std::int64_t batch, std::int64_t m0, std::int64_t n0) const {
    const auto b = static_cast<std::size_t>(batch);
    const std::int64_t m = std::min(rows_, plan_.m() - m0), n = std::min(columns_, plan_.n() - n0);
    std::fill(scratch.c.begin(), scratch.c.end(), W{});
    for (std::int64_t k0 = 0; k0 < plan_.k(); k0 += kDepth) {
      const std::int64_t k = std::min(kDepth, plan_.k() - k0);
      pack(operands.a + plan_.a.batch[b], plan_.a.rows.data() + m0, m, plan_.a.columns.data() + k0, k, block_.rows,
           scratch.a.data());
      pack(operands.b + plan_.b.batch[b], plan_.b.columns.data() + n0, n, plan_.b.rows.data() + k0, k, block_.columns,
           scratch.b.data());
      for (std::int64_t j = 0; j < n; j += block_.columns)
        for (std::int64_t i = 0; i < m; i += block_.rows)
          block_.run(k, scratch.a.data() + i * k, scratch.b.data() + j * k, scratch.c.data() + i * columns_ + j,
                     columns_);
    }
    R* c = operands.c + plan_.c.batch[b];
    for (std::int64_t i = 0; i < m; ++i) {
      R* row = c + plan_.c.rows[static_cast<std::size_t>(m0 + i)];
      const std::int64_t* columns = plan_.c.columns.data() + n0;
      for (std::int64_t j = 0; j < n; ++j)
        row[columns[j]] = store(scratch.c[static_cast<std::size_t>(i * columns_ + j)]);
    }
  }

  ContractionPlan plan_;
  ContractionBlock<W> block_;
  int threads_;
  std::size_t a_ = 0, b_ = 0, arguments_ = 0;
  std::unique_ptr<CpuKernel> prepare_;
  std::int64_t rows_ = 1, columns_ = 1;
  mutable std::vector<Scratch> scratch_;  ///< by thread
};

}  // namespace

Claim claim_contraction(const Graph& body, const Context&) {
  KernelSpec spec = row_major_spec(body, "loop.contraction");
  const ContractionPlan plan = plan_contraction(spec.body);
  if (!plan.refusal.empty()) return Claim::refuse(plan.refusal);
  if (spec.body.type(plan.c.value).dtype == DType::boolean) return Claim::refuse("bool is not supported");
  if (!plan.prepare.nodes().empty()) {
    const ValueId prepared = plan.prepare.outputs()[0].value;
    spec.scratch_bytes =
        std::max<std::int64_t>(plan.prepare.layout(prepared).bytes(plan.prepare.type(prepared).dtype), 1);
  }
  spec.flops = 2.0 * static_cast<double>(plan.batches()) * static_cast<double>(plan.m()) *
               static_cast<double>(plan.n()) * static_cast<double>(plan.k());
  return Claim::take(std::move(spec), 0.2);
}

std::unique_ptr<CpuKernel> compile_contraction(const KernelSpec& spec, const Context& context) {
  ContractionPlan plan = plan_contraction(spec.body);
  check_internal(plan.refusal.empty(), "contraction compiled without a claim: " + plan.refusal);
  const DType result = spec.body.type(plan.c.value).dtype;
  return visit_dtype(spec.body.type(plan.a.value).dtype, [&](auto tag) -> std::unique_ptr<CpuKernel> {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, bool>)
      throw InternalError("contraction of bool compiled without a claim");
    else if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>)
      if (result == DType::f32)
        return std::make_unique<ContractionKernel<T, float>>(std::move(plan), spec.body, spec, context);
      else
        return std::make_unique<ContractionKernel<T, T>>(std::move(plan), spec.body, spec, context);
    else
      return std::make_unique<ContractionKernel<T, T>>(std::move(plan), spec.body, spec, context);
  });
}

}  // namespace weft::cpu
