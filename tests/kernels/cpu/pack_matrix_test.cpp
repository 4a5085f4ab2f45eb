// Packed copies of operands against their definition, and products that are computed from them.
#include "kernels/cpu/pack_matrix.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>

#include "tests/kernels/cpu/check_body.hpp"

namespace weft {
namespace {

using cpu::PlainMatrix;
using testing::Body;
using testing::random_tensor;
using I = std::int64_t;

/// Number [r, c] of the matrices below; no two are equal nearby.
std::uint16_t number(I r, I c) { return static_cast<std::uint16_t>(1 + r * 251 + c); }

std::vector<std::uint16_t> plain_numbers(const PlainMatrix& m) {
  std::vector<std::uint16_t> data(static_cast<std::size_t>((m.by_rows ? m.rows : m.columns) * m.gap), 0xffff);
  for (I r = 0; r < m.rows; ++r)
    for (I c = 0; c < m.columns; ++c)
      data[static_cast<std::size_t>(m.by_rows ? r * m.gap + c : c * m.gap + r)] = number(r, c);
  return data;
}

const std::byte* bytes(const std::vector<std::uint16_t>& x) { return reinterpret_cast<const std::byte*>(x.data()); }
std::byte* bytes(std::vector<std::uint16_t>& x) { return reinterpret_cast<std::byte*>(x.data()); }

TEST(PackMatrix, BlocksLieAsTheirLayoutSaysAndPaddingIsZero) {
  for (const bool by_rows : {true, false})
    for (const auto& [rows, columns] : {std::pair<I, I>{1, 1}, {32, 64}, {64, 128}, {197, 200}, {33, 70}, {96, 63}})
      for (const I width : {I{64}, I{48}, I{12}}) {
        SCOPED_TRACE(fmt::format("{} x {} by {}, blocks of {}", rows, columns, by_rows ? "rows" : "columns", width));
        const Layout layout = Layout::blocked(Shape{rows, columns}, {{0, 16}, {1, width}, {0, 2}});
        const auto blocks = cpu::blocked_matrix(layout);
        ASSERT_TRUE(blocks);
        const PlainMatrix plain{rows, columns, (by_rows ? columns : rows) + 3, by_rows};
        const auto from = plain_numbers(plain);
        std::vector<std::uint16_t> want(static_cast<std::size_t>(layout.storage_elements())), got(want.size(), 0xffff);
        for (I r = 0; r < rows; ++r)
          for (I c = 0; c < columns; ++c) want[static_cast<std::size_t>(layout.offset({r, c}))] = number(r, c);
        cpu::pack_blocks(bytes(from), plain, bytes(got), *blocks, 2);
        EXPECT_EQ(got, want);
      }
}

TEST(PackMatrix, OtherLayoutsAreNotTakenForBlocks) {
  EXPECT_FALSE(cpu::blocked_matrix(Layout::dense(Shape{32, 64})));
  EXPECT_FALSE(cpu::blocked_matrix(Layout::blocked(Shape{32, 64}, {{0, 16}, {1, 64}})));
  EXPECT_FALSE(cpu::blocked_matrix(Layout::blocked(Shape{64, 64}, {{1, 16}, {0, 64}, {1, 2}})));
  EXPECT_FALSE(cpu::blocked_matrix(Layout::blocked(Shape{64, 64}, {{0, 16}, {1, 64}, {0, 4}})));
}

TEST(PackMatrix, TransposesHaveEveryNumberInItsPlace) {
  for (const auto& [rows, columns] : {std::pair<I, I>{1, 1}, {7, 40}, {197, 200}, {64, 96}, {300, 33}}) {
    const PlainMatrix plain{rows, columns, columns + 5, true};
    const auto from = plain_numbers(plain);
    std::vector<std::uint16_t> want, got(static_cast<std::size_t>(rows * columns));
    for (I c = 0; c < columns; ++c)
      for (I r = 0; r < rows; ++r) want.push_back(number(r, c));
    cpu::transpose_matrix(bytes(from), plain, bytes(got), 3);
    EXPECT_EQ(got, want) << rows << " x " << columns;
  }
}

/// x [m, k] or its transpose by y [k, n] or its transpose, in bf16 with a result in f32.
void expect_product(I m, I k, I n, bool x_transposed, bool y_transposed) {
  SCOPED_TRACE(fmt::format("{} x {} x {}{}{}", m, k, n, x_transposed ? ", left transposed" : "",
                           y_transposed ? ", right transposed" : ""));
  Body body;
  const ValueId x = body.in(random_tensor(DType::bf16, x_transposed ? Shape{k, m} : Shape{m, k}, 1));
  const ValueId y = body.in(random_tensor(DType::bf16, y_transposed ? Shape{n, k} : Shape{k, n}, 2));
  body.out(body.b.one(Op::dot_general, {x, y},
                      {{"x_batch", Dims{}},
                       {"y_batch", Dims{}},
                       {"x_contract", Dims{x_transposed ? 0 : 1}},
                       {"y_contract", Dims{y_transposed ? 1 : 0}},
                       {"dtype", DType::f32}}));
  testing::FixedLayouts plain;
  for (int i = 0; i < 2; ++i) plain.inputs.emplace(i, Layout::dense(body.values[static_cast<std::size_t>(i)].shape()));
  // Sums of k products below 4.
  EXPECT_EQ(check(std::move(body), 4e-6 * static_cast<double>(k), {2, CpuIsa::automatic, true}, plain),
            "onednn.matmul");
}

TEST(PackMatrix, ProductsOfCopiesAgree) {
  expect_product(1030, 70, 65, false, false);
  expect_product(1030, 70, 65, false, true);
  expect_product(9, 1027, 770, true, false);    // the left one alone
  expect_product(1025, 1024, 768, true, true);  // both
}

}  // namespace
}  // namespace weft
