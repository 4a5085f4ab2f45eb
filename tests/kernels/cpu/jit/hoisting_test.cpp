// Where the emitter computes what does not depend on the innermost loop.
#include <gtest/gtest.h>

#include <numeric>

#include "jit_testing.hpp"
#include "kernels/cpu/jit/codegen.hpp"

namespace weft::cpu::testing {
namespace {

using loops::Builder;
using loops::Kernel;
using loops::LoopKind;

/// Occurrences of `what` in the block of LLVM IR that has the last store.
int in_the_storing_block(const std::string& text, const std::string& what) {
  const std::size_t store = text.rfind("  store ");
  const std::size_t begin = text.rfind("\n\n", store), end = text.find("\n\n", store);
  int count = 0;
  for (std::size_t at = text.find(what, begin); at < end; at = text.find(what, at + 1)) ++count;
  return count;
}

/// out[c][p][v] = in[c][p][v] * scale[c * block + v] + shift[...], c of 3, p of 50.
Kernel per_channel(int block, int lanes) {
  Kernel kernel;
  Builder b(kernel);
  const auto in = kernel.add_buffer({DType::f32, 0, 0}), scale = kernel.add_buffer({DType::f32, 1, 0});
  const auto shift = kernel.add_buffer({DType::bf16, 2, 0}), out = kernel.add_buffer({DType::f32, 3, 0});
  const auto c = kernel.add_index(), p = kernel.add_index(), v = kernel.add_index();
  const auto channel = b.add(b.mul(b.index(c), b.integer(block)), b.index(v));
  const auto pixel = b.add(b.mul(b.index(c), b.integer(50)), b.index(p));
  const auto element = b.add(b.mul(pixel, b.integer(block)), b.index(v));
  const auto y = b.add(b.mul(b.load(in, element), b.load(scale, channel)), b.load(shift, channel));
  kernel.phases.push_back({c,
                           3,
                           0,
                           {loops::loop_of(LoopKind::serial, p, b.integer(50),
                                           {loops::loop_of(LoopKind::vector, v, b.integer(block),
                                                           {loops::store(out, element, y)}, lanes)})}});
  return kernel;
}

TEST(HoistedValues, OperandsOfABlockedChannelAreReadOutsideTheLoopOverPixels) {
  for (const CpuIsa isa : instruction_sets()) {
    const std::string text = llvm_text(per_channel(16, 16), jit_target(isa), true);
    EXPECT_EQ(in_the_storing_block(text, "= load <16 x float>"), 1) << text;
    EXPECT_EQ(in_the_storing_block(text, "= load <16 x i16>"), 0) << text;
  }
}

TEST(HoistedValues, BlocksOfEverySizeAndEveryPieceOfThemAreRight) {
  for (const CpuIsa isa : instruction_sets())
    for (const int lanes : {4, 16, 64})
      for (int block = 1; block < 90; block += block < 20 ? 1 : 7) {
        std::vector<float> in(static_cast<std::size_t>(150 * block)), out(in.size());
        std::vector<float> scale(static_cast<std::size_t>(3 * block));
        std::vector<BFloat16> shift(scale.size());
        std::iota(in.begin(), in.end(), 1.0f);
        std::iota(scale.begin(), scale.end(), -3.0f);
        for (std::size_t i = 0; i < shift.size(); ++i) shift[i] = BFloat16(static_cast<float>(i) / 2);
        compile_and_run(isa, per_channel(block, lanes),
                        {bytes_of(in), bytes_of(scale), bytes_of(shift), bytes_of(out)});
        for (std::size_t e = 0; e < in.size(); ++e) {
          const auto width = static_cast<std::size_t>(block);
          const std::size_t channel = e / (50 * width) * width + e % width;
          ASSERT_EQ(out[e], in[e] * scale[channel] + static_cast<float>(shift[channel]))
              << block << " by " << lanes << " at " << e << " on " << name_of(isa);
        }
      }
}

TEST(HoistedValues, LoopsThatShareAVariableButNotAnExtentDoNotShareItsLanes) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto in = kernel.add_buffer({DType::i32, 0, 0}), out = kernel.add_buffer({DType::i32, 1, 0});
    const auto i = kernel.add_index(), k = kernel.add_index(), v = kernel.add_index();
    const auto sum = kernel.add_local({DType::i32, true, 16});
    const auto twice = b.mul(b.load(in, b.index(v)), b.integer(2, DType::i32));
    const auto add = loops::assign(sum, b.add(b.local(sum), twice));
    const auto loop = [&](loops::ExprId extent) { return loops::loop_of(LoopKind::vector, v, extent, {add}, 16); };
    // The first v of each: 16, 5, 21 = 16 and 5, then 1, 2, 3 as k goes on.
    kernel.phases.push_back(
        {i,
         1,
         0,
         {loops::declare(sum, b.integer(0, DType::i32)), loop(b.integer(16)), loop(b.integer(5)), loop(b.integer(21)),
          loops::loop_of(LoopKind::unroll, k, b.integer(3), {loop(b.add(b.index(k), b.integer(1)))}),
          loops::store(out, b.integer(0), b.join_lanes(sum, Op::add))}});
    std::vector<std::int32_t> x(21), y(1);
    std::iota(x.begin(), x.end(), 1);
    compile_and_run(isa, kernel, {bytes_of(x), bytes_of(y)});
    const auto first = [](int n) { return n * (n + 1); };
    EXPECT_EQ(y[0], first(16) + first(5) + first(21) + first(1) + first(2) + first(3));
  }
}

TEST(HoistedValues, WhatALoopAroundWritesIsReadAgain) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto data = kernel.add_buffer({DType::i32, 0, 0});
    const auto i = kernel.add_index(), p = kernel.add_index(), v = kernel.add_index();
    const auto old = b.load(data, b.index(v));
    kernel.phases.push_back(
        {i,
         1,
         0,
         {loops::loop_of(LoopKind::serial, p, b.integer(10),
                         {loops::loop_of(LoopKind::vector, v, b.integer(16),
                                         {loops::store(data, b.index(v), b.add(old, b.integer(1, DType::i32))),
                                          loops::store(data, b.index(v), b.add(old, old))},
                                         16)})}});
    std::vector<std::int32_t> x(16);
    std::iota(x.begin(), x.end(), 0);
    compile_and_run(isa, kernel, {bytes_of(x)});
    for (std::int32_t e = 0; e < 16; ++e) EXPECT_EQ(x[static_cast<std::size_t>(e)], 1024 * e + 2046);
  }
}

TEST(HoistedValues, ALocalInAnUnrolledLoopIsThatOfTheIteration) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto out = kernel.add_buffer({DType::i64, 0, 0});
    const auto i = kernel.add_index(), k = kernel.add_index();
    const auto x = kernel.add_local({DType::i64, true, 0});
    const auto y = kernel.add_local({DType::i64, false, 0}), z = kernel.add_local({DType::i64, false, 0});
    kernel.phases.push_back({i,
                             1,
                             0,
                             {loops::declare(x, b.integer(1)),
                              loops::loop_of(LoopKind::unroll, k, b.integer(4),
                                             {loops::declare(y, b.add(b.local(x), b.integer(5))),
                                              loops::declare(z, b.mul(b.local(y), b.integer(3))),
                                              loops::store(out, b.index(k), b.mul(b.local(z), b.integer(2))),
                                              loops::assign(x, b.add(b.local(x), b.local(x)))})}});
    std::vector<std::int64_t> got(4);
    compile_and_run(isa, kernel, {bytes_of(got)});
    EXPECT_EQ(got, (std::vector<std::int64_t>{36, 42, 54, 78}));
  }
}

TEST(HoistedValues, AVectorMadeInALoopThatMayNotRunIsMadeAgainAfterIt) {
  for (const CpuIsa isa : instruction_sets()) {
    Kernel kernel;
    Builder b(kernel);
    const auto count = kernel.add_buffer({DType::i64, 0, 0}), in = kernel.add_buffer({DType::f32, 1, 0});
    const auto inside = kernel.add_buffer({DType::f32, 2, 0}), after = kernel.add_buffer({DType::f32, 3, 0});
    const auto i = kernel.add_index(), k = kernel.add_index(), v = kernel.add_index(), w = kernel.add_index();
    const auto x = kernel.add_local({DType::f32, false, 0});
    const auto at = [&](std::int32_t index) { return b.add(b.mul(b.index(i), b.integer(16)), b.index(index)); };
    const auto fill = [&](std::int32_t index, std::int32_t to) {
      return loops::loop_of(LoopKind::vector, index, b.integer(16),
                            {loops::store(to, at(index), b.mul(b.local(x), b.cast(b.index(index), DType::f32)))}, 16);
    };
    kernel.phases.push_back(
        {i,
         2,
         0,
         {loops::declare(x, b.load(in, b.index(i))),
          loops::loop_of(LoopKind::serial, k, b.load(count, b.index(i)), {fill(v, inside)}), fill(w, after)}});
    std::vector<std::int64_t> counts{0, 2};
    std::vector<float> values{3, 5}, first(32, -1), second(32, -1);
    compile_and_run(isa, kernel, {bytes_of(counts), bytes_of(values), bytes_of(first), bytes_of(second)});
    for (std::size_t e = 0; e < 32; ++e) {
      const float want = values[e / 16] * static_cast<float>(e % 16);
      EXPECT_EQ(first[e], e < 16 ? -1 : want);
      EXPECT_EQ(second[e], want);
    }
  }
}

}  // namespace
}  // namespace weft::cpu::testing
