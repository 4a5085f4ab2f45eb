// The interpreter itself on kernels small enough to follow by hand.
#include "tests/kernels/interpreter/interpreter.hpp"

#include <gtest/gtest.h>

#include "kernels/loops/build.hpp"
#include "weft/error.hpp"

namespace weft::loops::testing {
namespace {

template <class T>
std::byte* bytes_of(std::vector<T>& values) {
  return reinterpret_cast<std::byte*>(values.data());
}

TEST(LoopInterpreter, SumsRowsOverLanes) {
  Kernel kernel;
  Builder b(kernel);
  const auto in = kernel.add_buffer({DType::f32, 0, 0}), out = kernel.add_buffer({DType::f32, 1, 0});
  const auto row = kernel.add_index(), column = kernel.add_index();
  const auto sum = kernel.add_local({DType::f32, true, 4});
  const auto element = b.add(b.mul(b.index(row), b.integer(5)), b.index(column));
  kernel.phases.push_back(
      {row,
       2,
       0,
       {declare(sum, b.real(0.25)),
        loop_of(LoopKind::vector, column, b.integer(5), {assign(sum, b.add(b.local(sum), b.load(in, element)))}, 4),
        store(out, b.index(row), b.join_lanes(sum, Op::add))}});
  std::vector<float> x{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, y(2);
  interpret(kernel, {bytes_of(x), bytes_of(y)});
  EXPECT_EQ(y, (std::vector<float>{16, 41}));  // each of four lanes began with a quarter
}

TEST(LoopInterpreter, RoundsStorageTypesAndWrapsIntegers) {
  Kernel kernel;
  Builder b(kernel);
  const auto bf16 = kernel.add_buffer({DType::bf16, 0, 0}), small = kernel.add_buffer({DType::i8, 1, 0});
  const auto i = kernel.add_index();
  kernel.phases.push_back(
      {i,
       1,
       0,
       {store(bf16, b.integer(0), b.real(1.00390625)), store(bf16, b.integer(1), b.real(1.01171875)),
        store(small, b.integer(0), b.add(b.integer(100, DType::i8), b.integer(100, DType::i8))),
        store(small, b.integer(1), b.cast(b.real(1000), DType::i8)),
        store(small, b.integer(2), b.div(b.integer(-128, DType::i8), b.integer(-1, DType::i8))),
        store(small, b.integer(3), b.binary(Op::shift_right, b.integer(-5, DType::i8), b.integer(9, DType::i8)))}});
  std::vector<BFloat16> halves(2);
  std::vector<std::int8_t> bytes(4);
  interpret(kernel, {bytes_of(halves), bytes_of(bytes)});
  EXPECT_EQ(halves, (std::vector<BFloat16>{BFloat16(1.0f), BFloat16(1.015625f)}));  // ties to even
  EXPECT_EQ(bytes, (std::vector<std::int8_t>{-56, 127, -128, -1}));
}

TEST(LoopInterpreter, RoundsAProductAndSumOnceOrTwice) {
  for (const bool fused : {true, false}) {
    Kernel kernel;
    Builder b(kernel);
    const auto out = kernel.add_buffer({DType::f32, 0, 0});
    const auto i = kernel.add_index();
    const auto x = b.real(1 + 0x1p-12);
    kernel.phases.push_back({i, 1, 0, {store(out, b.integer(0), b.fma(x, x, b.real(-1)))}});
    std::vector<float> y(1);
    interpret(kernel, {bytes_of(y)}, {fused});
    EXPECT_EQ(y[0], fused ? 0x1p-11f + 0x1p-24f : 0x1p-11f);
  }
}

TEST(LoopInterpreter, RefusesElementsOutsidePrivateBuffers) {
  Kernel kernel;
  Builder b(kernel);
  const auto tile = kernel.add_buffer({DType::f32, -1, 4});
  const auto i = kernel.add_index();
  kernel.phases.push_back({i, 5, 0, {store(tile, b.index(i), b.real(1))}});
  EXPECT_THROW(interpret(kernel, {}), InternalError);
}

}  // namespace
}  // namespace weft::loops::testing
