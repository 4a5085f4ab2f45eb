// Generated elementary functions of f32 against f64's of the C library, in units in the last place, on every
// instruction set.
//
// By default every 509th bit pattern is looked at, which is 16,000 numbers of each binade and sign, and all around
// where a function changes its formula. WEFT_ALL_NUMBERS=1 in the environment looks at all 2^32, in about half an hour
// of one core; WEFT_ALL_NUMBERS=exp at those of one function. math.hpp states what that found.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string_view>

#include "jit_testing.hpp"
#include "kernels/loops/math.hpp"

namespace weft::cpu::testing {
namespace {

constexpr std::size_t kBatch = 1 << 16;
constexpr std::uint64_t kStride = 509;

struct Function {
  Op op;
  double (*exact)(double);
  double bound;                                         ///< in units in the last place
  std::vector<float> changes;                           ///< where the formula changes
  double smallest = std::numeric_limits<float>::min();  ///< results of less than this size may be zero
};

double exact_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double exact_silu(double x) { return x / (1 + std::exp(-x)); }
double exact_softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }
double exact_rsqrt(double x) { return 1 / std::sqrt(x); }

const std::vector<Function>& functions() {
  static const std::vector<Function> kFunctions = {
      {Op::exp, std::exp, 1.009, {-104, -87.3366f, 88.7228f, 89}},
      {Op::expm1, std::expm1, 3.4, {-0.34f, 0.34f, 88.7228f}},
      {Op::log, std::log, 0.847, {0.70710678f, 1, 1.41421356f}},
      {Op::log1p, std::log1p, 2.47, {-0.29289322f, 0.41421356f, 1}},
      {Op::tanh, std::tanh, 1.34, {-0.625f, 0.625f}},
      {Op::erf, std::erf, 2.77, {-4, -0.97f, 0.97f, 4}},
      {Op::sigmoid, exact_sigmoid, 2.49, {-88.7228f, 0}},
      {Op::silu, exact_silu, 2.45, {-88.7228f, 0}, 3e-37},
      {Op::softplus, exact_softplus, 2.81, {0}},
      {Op::rsqrt, exact_rsqrt, 1.5, {}},
      {Op::sin, std::sin, 0.5001, {}},
      {Op::cos, std::cos, 0.5001, {}},
  };
  return kFunctions;
}

/// results[i] = make(operands[i]).
template <class Make>
loops::Kernel kernel_of(const Make& make) {
  loops::Kernel kernel;
  loops::Builder b(kernel);
  const std::int32_t in = kernel.add_buffer({DType::f32, 0, 0}), out = kernel.add_buffer({DType::f32, 1, 0});
  const std::int32_t i = kernel.add_index(), j = kernel.add_index();
  const loops::Stmt body = loops::store(out, b.index(j), make(b, b.load(in, b.index(j))));
  kernel.phases.push_back({i, 1, 0, {loops::loop_of(loops::LoopKind::vector, j, b.integer(kBatch), {body}, 64)}});
  return kernel;
}

loops::Kernel kernel_of(Op op) {
  return kernel_of([op](loops::Builder& b, loops::ExprId x) {
    Node node;
    node.op = op;
    return loops::pointwise(b, node, {x});
  });
}

bool is_subnormal(float x) { return std::fpclassify(x) == FP_SUBNORMAL; }

/// In units in the last place of f32; infinite where one is a number and the other is not. What overflows counts as the
/// next number above the largest.
double error_of(float got, double exact, double smallest) {
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) && std::isnan(got) ? 0 : INFINITY;
  if (std::abs(exact) < smallest && std::abs(static_cast<double>(got)) <= smallest) return 0;
  const double wanted = std::clamp(exact, -0x1p128, 0x1p128), value = std::clamp<double>(got, -0x1p128, 0x1p128);
  const double size = std::clamp<double>(std::abs(wanted), std::numeric_limits<float>::min(), 0x1p127);
  return std::abs(value - wanted) / std::ldexp(1.0, std::ilogb(size) - 23);
}

/// Subnormal numbers are zero while in scope, as they are in kernels on a device.
class FlushSubnormals {
 public:
  FlushSubnormals() : former_(_mm_getcsr()) { _mm_setcsr(former_ | 0x8040u); }
  ~FlushSubnormals() { _mm_setcsr(former_); }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  unsigned former_;
};

struct Worst {
  double error = 0;
  float at = 0, got = 0;
};

/// One function on every instruction set, fed with batches of numbers.
class Sweep {
 public:
  explicit Sweep(const Function& f)
      : function_(f), kernel_(kernel_of(f.op)), isas_(instruction_sets()), worst_(isas_.size()) {
    for (const CpuIsa isa : isas_) codes_.push_back(compiler_of(isa).compile(kernel_));
  }

  void add(std::uint32_t bits) {
    in_.push_back(std::bit_cast<float>(bits));
    if (in_.size() == kBatch) flush();
  }

  void flush() {
    if (in_.empty()) return;
    in_.resize(kBatch, 1.0f);
    exact_.clear();
    for (const float x : in_) exact_.push_back(function_.exact(is_subnormal(x) ? std::copysign(0.0f, x) : x));
    for (std::size_t k = 0; k < isas_.size(); ++k) {
      {
        const FlushSubnormals mode;
        run_kernel(*codes_[k], kernel_, {bytes_of(in_), bytes_of(out_)});
      }
      for (std::size_t i = 0; i < kBatch; ++i)
        if (const double e = error_of(out_[i], exact_[i], function_.smallest); e > worst_[k].error)
          worst_[k] = {e, in_[i], out_[i]};
    }
    in_.clear();
  }

  void expect_within_bounds() const {
    for (std::size_t k = 0; k < isas_.size(); ++k) {
      const Worst& w = worst_[k];
      const std::string what = fmt::format("{} on {}: worst {:.4f} units at {:a} ({}), which gives {}",
                                           name_of(function_.op), name_of(isas_[k]), w.error, w.at, w.at, w.got);
      EXPECT_LE(w.error, function_.bound) << what;
      ::testing::Test::RecordProperty(fmt::format("{}_{}", name_of(function_.op), name_of(isas_[k])), what);
      if (std::getenv("WEFT_ALL_NUMBERS") != nullptr) fmt::print("{}\n", what);
    }
  }

 private:
  const Function& function_;
  loops::Kernel kernel_;
  std::vector<CpuIsa> isas_;
  std::vector<std::shared_ptr<const KernelCode>> codes_;
  std::vector<Worst> worst_;
  std::vector<float> in_, out_ = std::vector<float>(kBatch);
  std::vector<double> exact_;
};

class Functions : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Functions, StaysWithinItsBoundOverAllMagnitudes) {
  const Function& f = functions()[GetParam()];
  const char* all = std::getenv("WEFT_ALL_NUMBERS");
  if (all != nullptr && std::string_view(all) != "1" && all != name_of(f.op)) GTEST_SKIP() << "not asked for";
  Sweep sweep(f);
  const std::uint64_t stride = all != nullptr ? 1 : kStride;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += stride)
    sweep.add(static_cast<std::uint32_t>(bits));
  for (const float change : f.changes)
    for (std::uint32_t d = 0; d < 4096; ++d) sweep.add(std::bit_cast<std::uint32_t>(change) + d - 2048);
  for (const float special : {INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 1.0f, -1.0f})
    sweep.add(std::bit_cast<std::uint32_t>(special));
  sweep.flush();
  sweep.expect_within_bounds();
}

/// Of evenly spaced numbers from `low` to `high`, then what limits make of them.
template <class Make, class Exact>
void expect_near(const Make& make, const Exact& exact, float low, float high, double tolerance, float below) {
  const loops::Kernel kernel = kernel_of(make);
  std::vector<float> in(kBatch), out(kBatch);
  for (std::size_t i = 0; i < kBatch; ++i)
    in[i] = low + (high - low) * static_cast<float>(i) / static_cast<float>(kBatch - 1);
  in[0] = -INFINITY, in[1] = NAN, in[2] = 0, in[3] = below, in[4] = -1e30f;
  for (const CpuIsa isa : instruction_sets()) {
    SCOPED_TRACE(name_of(isa));
    compile_and_run(isa, kernel, {bytes_of(in), bytes_of(out)});
    EXPECT_EQ(out[0], 0);
    EXPECT_TRUE(std::isnan(out[1]));
    EXPECT_EQ(out[2], 1);
    EXPECT_EQ(out[3], 0);
    EXPECT_EQ(out[4], 0);
    for (std::size_t i = 5; i < kBatch; ++i)
      ASSERT_NEAR(out[i] / exact(static_cast<double>(in[i])), 1, tolerance) << in[i];
  }
}

TEST(SoftmaxFunctions, ExponentialsOfDifferencesAreNearAndZeroFarBelow) {
  expect_near(
      loops::exp_of_differences, [](double x) { return std::exp(x); }, -87.2f, 88, 1.3e-7, -87.4f);
}

TEST(SoftmaxFunctions, PowersForBf16AreNearAndZeroFarBelow) {
  expect_near(
      loops::exp2_for_bf16, [](double x) { return std::exp2(x); }, -126.4f, 127, 1.1e-4, -126.6f);
}

INSTANTIATE_TEST_SUITE_P(All, Functions, ::testing::Range(std::size_t{0}, functions().size()),
                         [](const auto& f) { return std::string(name_of(functions()[f.param].op)); });

}  // namespace
}  // namespace weft::cpu::testing
