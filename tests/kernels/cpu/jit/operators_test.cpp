// Every operator of the loop IR in every type and on every instruction set, against the plain loops of
// scalar_loops.hpp.
#include <gtest/gtest.h>

#include "jit_testing.hpp"
#include "kernels/cpu/scalar_ops.hpp"
#include "tests/kernels/cpu/jit/scalar_loops.hpp"

namespace weft::cpu::testing {
namespace {

using loops::Builder;
using loops::ExprId;
using loops::Kernel;

constexpr std::size_t kCount = 64 * 7 + 35;  // every piece: 64 lanes, registers, the rest

std::vector<DType> all_types() {
  std::vector<DType> types;
  for (int i = 0; i < kDTypeCount; ++i) types.push_back(static_cast<DType>(i));
  return types;
}

std::vector<DType> compute_types() {
  std::vector<DType> types = all_types();
  std::erase_if(types, [](DType type) { return type == DType::f16 || type == DType::bf16; });
  return types;
}

/// result[i] = make(operands[i]...), by 64 lanes.
template <class Make>
Kernel pointwise(const std::vector<DType>& operands, DType result, const Make& make, int lanes = 64) {
  Kernel kernel;
  Builder b(kernel);
  for (std::size_t i = 0; i < operands.size(); ++i) kernel.add_buffer({operands[i], static_cast<int>(i), 0});
  const std::int32_t out = kernel.add_buffer({result, static_cast<int>(operands.size()), 0});
  const std::int32_t i = kernel.add_index(), j = kernel.add_index();
  std::vector<ExprId> loads;
  for (std::size_t k = 0; k < operands.size(); ++k) loads.push_back(b.load(static_cast<std::int32_t>(k), b.index(j)));
  const loops::Stmt body = loops::store(out, b.index(j), make(b, loads));
  kernel.phases.push_back({i, 1, 0, {loops::loop_of(loops::LoopKind::vector, j, b.integer(kCount), {body}, lanes)}});
  return kernel;
}

/// The hardware's conversion to bf16 gives zero for them, but what is only copied keeps them.
void zero_subnormals(std::vector<std::byte>& values) {
  for (std::size_t i = 0; i < values.size(); i += 2) {
    const auto bits = std::to_integer<unsigned>(values[i]) | std::to_integer<unsigned>(values[i + 1]) << 8;
    if ((bits & 0x7f80u) != 0) continue;
    values[i] = std::byte{0};
    values[i + 1] &= std::byte{0x80};
  }
}

void expect_equal(const Kernel& kernel, const std::vector<DType>& operands, DType result, ScalarLoop expected,
                  const std::string& what) {
  ASSERT_NE(expected, nullptr) << what;
  std::vector<std::vector<std::byte>> values;
  std::vector<const void*> in;
  for (std::size_t k = 0; k < operands.size(); ++k)
    values.push_back(interesting_values(operands[k], kCount, static_cast<unsigned>(17 * k + 3)));
  for (auto& v : values) in.push_back(v.data());
  std::vector<std::byte> wanted(kCount * size_of(result)), got(wanted.size());
  expected(in.data(), wanted.data(), static_cast<std::int64_t>(kCount));
  for (const CpuIsa isa : instruction_sets()) {
    std::vector<std::byte*> arguments;
    for (auto& v : values) arguments.push_back(v.data());
    arguments.push_back(got.data());
    compile_and_run(isa, kernel, arguments);
    std::vector<std::byte> want = wanted;
    if (result == DType::bf16 && compiler_of(isa).target().bf16) {
      zero_subnormals(want);
      zero_subnormals(got);
    }
    const std::int64_t at = first_difference(result, want.data(), got.data(), kCount);
    if (at < 0) continue;
    std::string text = what + " on " + std::string(name_of(isa)) + " at " + std::to_string(at) + ":";
    const auto offset = [&](DType type) { return static_cast<std::size_t>(at) * size_of(type); };
    for (std::size_t k = 0; k < operands.size(); ++k)
      text += " " + show(operands[k], values[k].data() + offset(operands[k]));
    ADD_FAILURE() << text << " gives " << show(result, got.data() + offset(result)) << " instead of "
                  << show(result, want.data() + offset(result));
  }
}

TEST(GeneratedOperators, UnaryOnesGiveWhatPlainLoopsGive) {
  for (const DType type : compute_types())
    for (const Op op :
         {Op::neg, Op::abs, Op::sqrt, Op::floor, Op::ceil, Op::round_even, Op::logical_not, Op::bit_not}) {
      const ScalarLoop expected = scalar_unary(op, type, false);
      if (!expected) continue;
      const Kernel kernel =
          pointwise({type}, type, [&](Builder& b, const std::vector<ExprId>& x) { return b.unary(op, x[0]); });
      expect_equal(kernel, {type}, type, expected, std::string(name_of(op)) + " of " + std::string(name_of(type)));
    }
}

TEST(GeneratedOperators, BinaryOnesGiveWhatPlainLoopsGive) {
  for (const DType type : compute_types())
    for (const Op op :
         {Op::add, Op::sub, Op::mul, Op::div, Op::rem, Op::maximum, Op::minimum, Op::bit_and, Op::bit_or, Op::bit_xor,
          Op::shift_left, Op::shift_right, Op::logical_and, Op::logical_or, Op::logical_xor}) {
      const ScalarLoop expected = scalar_binary(op, type);
      if (!expected) continue;
      const Kernel kernel = pointwise(
          {type, type}, type, [&](Builder& b, const std::vector<ExprId>& x) { return b.binary(op, x[0], x[1]); });
      expect_equal(kernel, {type, type}, type, expected,
                   std::string(name_of(op)) + " of " + std::string(name_of(type)));
    }
}

TEST(GeneratedOperators, ComparisonsGiveWhatPlainLoopsGive) {
  for (const DType type : compute_types())
    for (const Op op : {Op::equal, Op::not_equal, Op::less, Op::less_equal, Op::greater, Op::greater_equal}) {
      const Kernel kernel = pointwise({type, type}, DType::boolean, [&](Builder& b, const std::vector<ExprId>& x) {
        return b.binary(op, x[0], x[1]);
      });
      expect_equal(kernel, {type, type}, DType::boolean, scalar_compare(op, type),
                   std::string(name_of(op)) + " of " + std::string(name_of(type)));
    }
}

TEST(GeneratedOperators, SelectTakesEitherSide) {
  for (const DType type : all_types()) {
    const Kernel kernel = pointwise({DType::boolean, type, type}, type, [&](Builder& b, const std::vector<ExprId>& x) {
      return b.select(x[0], x[1], x[2]);
    });
    expect_equal(kernel, {DType::boolean, type, type}, type, scalar_select(type),
                 "select of " + std::string(name_of(type)));
  }
}

TEST(GeneratedOperators, CastsBetweenAllTypesSaturateAndRound) {
  for (const DType from : all_types())
    for (const DType to : all_types()) {
      const DType compute = compute_type(to);
      const Kernel kernel = pointwise({from}, to, [&](Builder& b, const std::vector<ExprId>& x) {
        return compute == b.type(x[0]) ? x[0] : b.cast(x[0], compute);
      });
      expect_equal(kernel, {from}, to, scalar_cast(from, to),
                   "cast of " + std::string(name_of(from)) + " to " + std::string(name_of(to)));
    }
}

TEST(GeneratedOperators, LibraryFunctionsAreThoseOfTheCLibrary) {
  for (const DType type : {DType::f32, DType::f64}) {
    for (const Op op : {Op::exp, Op::expm1, Op::log, Op::log1p, Op::sin, Op::cos, Op::tan, Op::asin, Op::acos, Op::atan,
                        Op::sinh, Op::cosh, Op::tanh, Op::asinh, Op::acosh, Op::atanh, Op::erf}) {
      const Kernel kernel =
          pointwise({type}, type, [&](Builder& b, const std::vector<ExprId>& x) { return b.unary(op, x[0]); });
      expect_equal(kernel, {type}, type, scalar_unary(op, type, false), std::string(name_of(op)));
    }
    const Kernel power = pointwise(
        {type, type}, type, [&](Builder& b, const std::vector<ExprId>& x) { return b.binary(Op::pow, x[0], x[1]); });
    expect_equal(power, {type, type}, type, scalar_binary(Op::pow, type), "pow");
  }
}

}  // namespace
}  // namespace weft::cpu::testing
