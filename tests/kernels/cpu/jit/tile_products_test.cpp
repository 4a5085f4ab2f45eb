// Tile products as machine code against the interpreter of the loop IR, which knows them as they are written.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "jit_testing.hpp"
#include "kernels/loops/legalise.hpp"
#include "tests/kernels/interpreter/interpreter.hpp"
#include "weft/error.hpp"
#include "weft/tensor.hpp"

namespace weft::cpu::testing {
namespace {

using loops::Builder;
using loops::Contraction;
using loops::Kernel;
using loops::Tile;

struct Product {
  std::int64_t rows = 1, columns = 1, depth = 1;
  bool a_transposed = false, accumulate = false, known = true;
  DType a = DType::f32, b = DType::f32;

  std::int64_t a_gap() const { return (a_transposed ? rows : depth) + 3; }
  std::string str() const {
    return fmt::format("{} x {} x {}, {}{}{} of {} and {}", rows, columns, depth, a_transposed ? "transposed " : "",
                       accumulate ? "added " : "", known ? "known" : "counted", name_of(a), name_of(b));
  }
};

/// One product, of parts of larger matrices, whose rows and depth, where not `known`, are read from memory.
Kernel kernel_of(const Product& p) {
  Kernel kernel;
  Builder b(kernel);
  const auto c = kernel.add_buffer({DType::f32, 0, 0}), x = kernel.add_buffer({p.a, 1, 0});
  const auto y = kernel.add_buffer({p.b, 2, 0}), counts = kernel.add_buffer({DType::i64, 3, 0});
  const auto task = kernel.add_index();
  const auto extent = [&](std::int64_t value, std::int64_t at) {
    return p.known ? b.integer(value) : b.load(counts, b.integer(at));
  };
  Contraction t;
  t.c = {c, b.integer(2), p.columns + 1, 1};
  t.a = p.a_transposed ? Tile{x, b.integer(1), 1, p.a_gap()} : Tile{x, b.integer(1), p.a_gap(), 1};
  t.b = {y, b.integer(3), p.columns + 2, 1};
  t.rows = extent(p.rows, 0);
  t.depth = extent(p.depth, 1);
  t.columns = p.columns;
  t.accumulate = p.accumulate;
  kernel.phases.push_back({task, 1, 0, {loops::tile_contract(t)}});
  return kernel;
}

std::vector<std::byte> drawn_numbers(DType type, std::int64_t count, std::mt19937& engine) {
  if (type == DType::u32) return drawn_numbers(DType::bf16, 2 * count, engine);  // pairs
  std::vector<float> values(static_cast<std::size_t>(count));
  std::uniform_real_distribution<float> draw(-2, 2);
  for (float& v : values) v = draw(engine);
  const Tensor t = Tensor::from<float>(Shape{count}, values).cast(type);
  return {t.data(), t.data() + t.bytes()};
}

/// Equal bits where no `tolerance` is given.
void check(const Product& p, CpuIsa isa, double tolerance = 0) {
  SCOPED_TRACE(p.str() + " on " + std::string(name_of(isa)));
  std::mt19937 engine(7);
  const Kernel kernel = kernel_of(p);
  std::vector<std::int64_t> counts = {p.rows, p.depth};
  const std::int64_t c_elements = 2 + p.rows * (p.columns + 1);
  std::vector<std::byte> want = drawn_numbers(DType::f32, c_elements, engine), got = want;
  std::vector<std::byte> x = drawn_numbers(p.a, 1 + (std::max(p.rows, p.depth) + 1) * p.a_gap(), engine);
  std::vector<std::byte> y = drawn_numbers(p.b, 3 + (p.depth + 1) * (p.columns + 2), engine);
  loops::testing::interpret(kernel, {want.data(), x.data(), y.data(), bytes_of(counts)},
                            {compiler_of(isa).target().fma});
  compile_and_run(isa, kernel, {got.data(), x.data(), y.data(), bytes_of(counts)});
  if (tolerance > 0) {
    for (std::int64_t i = 0; i < c_elements; ++i) {
      float wanted = 0, given = 0;
      std::memcpy(&wanted, want.data() + 4 * i, 4);
      std::memcpy(&given, got.data() + 4 * i, 4);
      ASSERT_NEAR(wanted, given, tolerance) << "element " << i;
    }
    return;
  }
  const auto at = first_difference(DType::f32, want.data(), got.data(), static_cast<std::size_t>(c_elements));
  EXPECT_EQ(at, -1) << show(DType::f32, got.data() + 4 * at) << " instead of "
                    << show(DType::f32, want.data() + 4 * at);
}

TEST(TileProducts, AnyExtentsGiveTheBitsOfTheInterpreter) {
  std::mt19937 engine(3);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine() % static_cast<unsigned>(high - low + 1));
  };
  constexpr DType kTypes[] = {DType::f32, DType::f32, DType::bf16, DType::f16};
  for (const CpuIsa isa : instruction_sets())
    for (int i = 0; i < 40; ++i) {
      Product p;
      p.rows = pick(1, 21), p.columns = pick(1, 90), p.depth = pick(i % 7 == 0 ? 0 : 1, 20);
      p.a_transposed = pick(0, 1) == 1, p.accumulate = pick(0, 1) == 1, p.known = pick(0, 1) == 1;
      p.a = kTypes[pick(0, 3)], p.b = kTypes[pick(0, 3)];
      check(p, isa);
      if (HasFailure()) return;
    }
}

/// How often a sum of products of pairs is rounded is the target's business.
TEST(TileProducts, PairsOfBf16NumbersAreMultipliedAsSuch) {
  std::mt19937 engine(5);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine() % static_cast<unsigned>(high - low + 1));
  };
  for (const CpuIsa isa : instruction_sets())
    for (int i = 0; i < 30; ++i) {
      Product p;
      p.rows = pick(1, 21), p.columns = pick(1, 90), p.depth = pick(i % 7 == 0 ? 0 : 1, 40);
      p.a_transposed = pick(0, 1) == 1, p.accumulate = pick(0, 1) == 1, p.known = pick(0, 1) == 1;
      p.a = p.b = DType::u32;
      check(p, isa, 1e-6 * 8 * static_cast<double>(p.depth + 1));
      if (HasFailure()) return;
    }
}

TEST(TileProducts, MalformedOnesAreRefused) {
  const auto broken = [](auto&& change) {
    Kernel kernel = kernel_of({});
    change(kernel, kernel.phases[0].body[0].contraction[0]);
    EXPECT_THROW(kernel.verify(), InternalError);
  };
  kernel_of({}).verify();
  broken([](Kernel&, Contraction& t) { t.c.buffer = t.a.buffer; });
  broken([](Kernel&, Contraction& t) { t.b.column = 2; });
  broken([](Kernel&, Contraction& t) { t.columns = 0; });
  broken([](Kernel&, Contraction& t) { t.rows = -1; });
  broken([](Kernel&, Contraction& t) { t.a.start = -1; });
  broken([](Kernel& kernel, Contraction& t) { t.depth = static_cast<loops::ExprId>(kernel.expr_count()); });
  broken([](Kernel& kernel, Contraction&) { kernel.buffers[0].dtype = DType::bf16; });
  broken([](Kernel& kernel, Contraction&) { kernel.buffers[1].dtype = DType::i32; });
  broken([](Kernel& kernel, Contraction&) { kernel.buffers[1].dtype = DType::u32; });
  broken([](Kernel& kernel, Contraction&) {
    const auto index = kernel.add_index();
    kernel.phases[0].body = {loops::loop_of(loops::LoopKind::vector, index, Builder(kernel).integer(4),
                                            std::move(kernel.phases[0].body), 4)};
  });
}

}  // namespace
}  // namespace weft::cpu::testing
